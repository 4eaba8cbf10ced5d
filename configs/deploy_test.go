package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestRecipesRepo: the repository that teams start from holds recipes.
func TestRecipesRepo(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("recipes-repo/recipes/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("recipes-repo: %d found, %v", len(paths), err)
	}
	for _, path := range paths {
		r, err := Load(path)
		if err != nil {
			t.Errorf("%s:\n%v", path, err)
			continue
		}
		if r.Mergebot.Publish == nil || r.Mergebot.Schedule == "" || len(r.Mergebot.Gates) == 0 {
			t.Errorf("%s: it shows no publish, schedule or gates", path)
		}
	}
}

// TestDeploy holds what daemons are set up from, and docs/bot.md, to the settings.
func TestDeploy(t *testing.T) {
	bareHome(t)
	secrets := []string{"MERGEBOT_GITHUB_TOKEN", "MERGEBOT_WEBHOOK_SECRET", "MERGEBOT_GIT_PASSWORD", "MERGEBOT_ENGINE_KEY"}
	var known []string
	for _, key := range settingKeys() {
		known = append(known, "MERGEBOT_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_")))
	}
	for _, path := range []string{"deploy/mergebot.service", "deploy/compose.yaml", "deploy/nginx.conf", "../docs/bot.md", "../Dockerfile"} {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`MERGEBOT_[A-Z_]+`).FindAllString(string(src), -1) {
			if !slices.Contains(known, name) && !slices.Contains(secrets, name) {
				t.Errorf("%s: %s is no setting and no secret", path, name)
			}
		}
		if filepath.Ext(path) == ".yaml" {
			if err := yaml.Unmarshal(src, new(any)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if filepath.Ext(path) != ".md" {
			continue
		}
		for _, m := range regexp.MustCompile("`((?:serve|github)\\.[a-z_]+)`").FindAllStringSubmatch(string(src), -1) {
			if !slices.Contains(settingKeys(), m[1]) {
				t.Errorf("%s: %s is no setting", path, m[1])
			}
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(src), -1) {
			if _, err := LoadSettings(writeFile(t, filepath.Join(t.TempDir(), "bot.yaml"), block[1]), nil); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
