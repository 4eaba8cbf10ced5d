package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options say where the hub and the cache are. Empty fields are taken from the environment, as Python does it:
//
//	Endpoint  HF_ENDPOINT, else https://huggingface.co
//	Token     HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH ($HF_HOME/token);
//	          none of them if HF_HUB_DISABLE_IMPLICIT_TOKEN is true
//	Cache     HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub;
//	          HF_HOME is $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface
//	Offline   HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is 1, ON, YES or TRUE in any case
//
// HF_HUB_DOWNLOAD_TIMEOUT is the longest silence, in seconds, that is borne while bytes should come (10).
type Options struct {
	Endpoint  string
	Token     string
	Anonymous bool // use no token at all, whatever the environment says
	Cache     string
	Offline   bool
	Workers   int          // files and parts in flight at once, 0 means 8; of downloads twice as many where that is faster
	Bandwidth int64        // the most that all transfers of large files together take, in bytes a second; 0 = no limit
	HTTP      *http.Client // its Transport and Jar are used; nil means the default transport
	UserAgent string
	Progress  func(Progress) // never called twice at the same time
	Warn      func(string)   // what the user should know though nothing failed; never called twice at the same time
}

const defaultEndpoint = "https://huggingface.co"

// environment is the part of the settings that HF_* variables give.
type environment struct {
	endpoint, token, cache string
	offline                bool
	silence                time.Duration
}

func readEnvironment(getenv func(string) string) (environment, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := strings.TrimSpace(getenv(n)); v != "" {
				return v
			}
		}
		return ""
	}
	expand := func(path string) string {
		path = os.Expand(path, getenv)
		if path == "~" || strings.HasPrefix(path, "~/") {
			path = filepath.Join(home(getenv), path[1:])
		}
		return path
	}
	e := environment{
		endpoint: first("HF_ENDPOINT"),
		offline:  isTrue(getenv("HF_HUB_OFFLINE")) || isTrue(getenv("TRANSFORMERS_OFFLINE")),
		silence:  10 * time.Second,
	}
	if e.endpoint == "" {
		e.endpoint = defaultEndpoint
	}
	base := first("HF_HOME")
	if base == "" {
		xdg := first("XDG_CACHE_HOME")
		if xdg == "" {
			xdg = "~/.cache"
		}
		base = xdg + "/huggingface"
	}
	base = expand(base)
	if e.cache = first("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"); e.cache == "" {
		e.cache = filepath.Join(base, "hub")
	}
	e.cache = expand(e.cache)
	if s := first("HF_HUB_DOWNLOAD_TIMEOUT"); s != "" {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || !(seconds > 0) || seconds > 86400 {
			return e, fmt.Errorf("hub: HF_HUB_DOWNLOAD_TIMEOUT is %q: want a number of seconds", clip(s, 40))
		}
		e.silence = time.Duration(seconds * float64(time.Second))
	}
	if isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return e, nil
	}
	if e.token = first("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"); e.token != "" {
		return e, nil
	}
	path := first("HF_TOKEN_PATH")
	if path == "" {
		path = filepath.Join(base, "token")
	}
	switch b, err := os.ReadFile(expand(path)); {
	case err == nil:
		e.token = strings.TrimSpace(string(b))
	case !errors.Is(err, os.ErrNotExist):
		return e, fmt.Errorf("hub: read the token file: %w", err)
	}
	return e, nil
}

func home(getenv func(string) string) string {
	if h := getenv("HOME"); h != "" {
		return h
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return "."
	}
	return h
}

func isTrue(v string) bool {
	switch strings.ToUpper(strings.TrimSpace(v)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// parseEndpoint never quotes what it refuses: an address may carry a password.
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("hub: the endpoint must be an http:// or https:// address: check HF_ENDPOINT")
	case u.User != nil:
		return nil, errors.New("hub: the endpoint may not hold a name or password: use HF_TOKEN")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("hub: the endpoint may not hold '?' or '#': check HF_ENDPOINT")
	}
	return u, nil
}

// checkToken refuses what cannot stand in a header, without showing it.
func checkToken(token string) error {
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return errors.New("hub: the token holds a blank or a character outside ASCII: copy it again from the hub's settings page")
		}
	}
	return nil
}
