package run

// Difference is what a recipe's plan has otherwise than an earlier one.
type Difference struct {
	// Text is a unified diff of the recipe's file, "" when it is the same.
	Text string `json:"text,omitempty"`
	// Lock are the commits that moved.
	Lock []Moved `json:"lock,omitempty"`
}

// Moved is a model, a data set or the engine whose commit or version is another one. Of what is new, From is ""; of
// what is gone, To.
type Moved struct {
	What string `json:"what"` // base, model, dataset, engine
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}
