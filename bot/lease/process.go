package lease

// process identifies a process among all of a host's, so that its death can be told.
type process struct {
	Boot  string `json:"boot"`  // of the host, since it was started
	Space string `json:"space"` // that its pid is a number of: containers have their own
	PID   int    `json:"pid"`
	Start string `json:"start"` // when it began; a pid is used again
}

// dead says that the process surely is no more. Of one elsewhere that cannot be told.
func (p *process) dead() bool {
	if p == nil {
		return false
	}
	me := self()
	return me != nil && me.Boot == p.Boot && me.Space == p.Space && !lives(p)
}
