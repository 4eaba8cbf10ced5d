package web_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/configs"
)

// TestPagesOfHostileRecipes: a file may be one long line with a problem at each word, or read otherwise than it is.
func TestPagesOfHostileRecipes(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	c := &change.State{Change: forge.Change{ID: "7", Title: "safe \u202Eelpmis\u202C", State: forge.Open}, PlannedHead: strings.Repeat("a", 40)}
	for i := range 50 {
		p := change.Plan{Path: "recipes/" + strconv.Itoa(i) + ".yaml", Text: "a: \u2066b" + strings.Repeat("é", forge.MaxFile/2) + "\nc: d\n"}
		for range 100 {
			p.Problems = append(p.Problems, configs.Error{Position: configs.Position{Line: 1, Column: 1}, Message: "unknown key"})
		}
		c.Plans = append(c.Plans, p)
	}
	w.put("bot/changes/7.json", c)
	page := w.get("/changes/7", http.StatusOK)
	if len(page) > 8<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if strings.ContainsAny(page, "\u202E\u202C\u2066") || !strings.Contains(page, "safe elpmis") || !strings.Contains(page, "a: béé") || !strings.Contains(page, "é…") {
		t.Error("the text is not shown as it is")
	}
	if list := w.get("/changes", http.StatusOK); strings.Contains(list, "\u202E") {
		t.Error("the list turns the direction of writing")
	}
}
