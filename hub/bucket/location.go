package bucket

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Location names a bucket and a prefix in it: s3://bucket/prefix?region=eu-west-1.
type Location struct {
	Scheme string // s3, gs or azblob
	Bucket string // of azblob: the container; its account is in the environment
	Prefix string // without a slash at either end; may be empty

	options url.Values
}

// options are what may follow the ? in a location, by scheme. None is a secret: those come from the environment alone.
var options = map[string][]string{
	"s3":     {"region", "endpoint", "use_path_style", "profile", "dualstack", "fips", "anonymous", "ssetype", "kmskeyid"},
	"gs":     {},
	"azblob": {"domain", "protocol", "localemu"},
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// IsLocation says whether a text is meant to name a bucket.
func IsLocation(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && (options[scheme] != nil || scheme == "az")
}

// Parse reads a location. The prefix is taken as it is written: nothing in it is decoded. Errors do not repeat the text,
// since people do paste keys into such addresses.
func Parse(text string) (Location, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme == "az" {
		scheme = "azblob"
	}
	allowed, ok := options[scheme]
	if !ok {
		return Location{}, errors.New("not a bucket: write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
	}
	rest, query, _ := strings.Cut(rest, "?")
	name, prefix, _ := strings.Cut(rest, "/")
	if !bucketName.MatchString(name) {
		return Location{}, fmt.Errorf("%s:// must be followed by a bucket's name (small letters, digits and . _ -), without keys: those come from the environment", scheme)
	}
	l := Location{Scheme: scheme, Bucket: name, Prefix: strings.TrimRight(prefix, "/")}
	if l.Prefix != "" && slices.ContainsFunc(strings.Split(l.Prefix, "/"), func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return Location{}, fmt.Errorf("a part of the prefix in %s://%s/… is empty, or leads elsewhere by dots", scheme, name)
	}
	var err error
	if l.options, err = url.ParseQuery(query); err != nil {
		return Location{}, fmt.Errorf("what follows the ? in %s://%s/… cannot be read", scheme, name)
	}
	for key, values := range l.options {
		if !slices.Contains(allowed, key) {
			return Location{}, fmt.Errorf("%s://%s/…?%.40q is not an option that is known (%s); keys belong to the environment", scheme, name, key, strings.Join(allowed, ", "))
		}
		if (key == "endpoint" || key == "domain") && strings.ContainsAny(values[0], "@?") {
			return Location{}, fmt.Errorf("%s://%s/…: the %s must be an address without a user, a password or a query", scheme, name, key)
		}
	}
	return l, nil
}

// String is the location without its options.
func (l Location) String() string {
	return strings.TrimRight(l.Scheme+"://"+l.Bucket+"/"+l.Prefix, "/")
}
