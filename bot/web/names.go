package web

import (
	"regexp"
	"strings"
)

// What addresses may name. Nothing else is looked for in storage.
var (
	runID      = regexp.MustCompile(`^[0-9a-z][0-9a-z.-]{0,79}$`)
	changeKey  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,79}$`)
	reportName = regexp.MustCompile(`^(report\.(html|md|json)|items\.html|items/[a-z0-9_-][a-z0-9_.-]{0,99}\.(html|jsonl))$`)
)

func isRun(id string) bool     { return runID.MatchString(id) && !strings.Contains(id, "..") }
func isChange(key string) bool { return changeKey.MatchString(key) && !strings.Contains(key, "..") }
func isReport(name string) bool {
	return reportName.MatchString(name) && !strings.Contains(name, "..")
}
