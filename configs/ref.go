package configs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ModelRef names a model: a repository on the Hub, a folder, or a prefix in a
// bucket. Exactly one of Repo, Local and Bucket is set, but for the zero
// ModelRef, which means none.
type ModelRef struct {
	Repo     string // org/name, or name alone
	Revision string // branch, tag or commit of Repo; "" is the main branch
	Local    string // ./x, ../x, /x or ~/x, as written
	Bucket   string // s3://, gs:// or az://bucket/prefix, without a slash at the end

	Lora         *ModelRef // an adapter to apply first
	Architecture string    // mergekit's override_architecture

	Pos Position
}

// IsZero says that no model is named.
func (r ModelRef) IsZero() bool { return r.Repo == "" && r.Local == "" && r.Bucket == "" }

// Same says that both name the same model, wherever they stand in the file.
func (r ModelRef) Same(o ModelRef) bool {
	if r.Lora != nil && o.Lora != nil {
		if !r.Lora.Same(*o.Lora) {
			return false
		}
	} else if r.Lora != nil || o.Lora != nil {
		return false
	}
	return r.Repo == o.Repo && r.Revision == o.Revision && r.Local == o.Local && r.Bucket == o.Bucket && r.Architecture == o.Architecture
}

// String gives the reference as a recipe has it: org/name@revision, a path or
// a bucket's URL, and +adapter where there is one.
func (r ModelRef) String() string {
	s := r.Repo + r.Local + r.Bucket
	if r.Revision != "" {
		s += "@" + r.Revision
	}
	if r.Lora != nil {
		s += "+" + r.Lora.String()
	}
	return s
}

// ParseModelRef reads a reference by its form alone, never by looking at the disk:
// what starts with /, ./, ../ or ~/ is a path, s3:// (gs://, az://) is a bucket, all else must
// be a repository. As in mergekit, @ begins a revision and + an adapter; in
// paths and prefixes an @ is part of the name.
func ParseModelRef(text string) (ModelRef, error) {
	model, adapter, found := strings.Cut(text, "+")
	ref, err := parsePlainRef(model)
	if err != nil || !found {
		return ref, err
	}
	if strings.Contains(adapter, "+") {
		return ModelRef{}, errors.New("more than one +adapter; one is the most")
	}
	lora, err := parsePlainRef(adapter)
	if err != nil {
		return ModelRef{}, fmt.Errorf("adapter after +: %w", err)
	}
	ref.Lora = &lora
	return ref, nil
}

func parsePlainRef(text string) (ModelRef, error) {
	switch {
	case text == "":
		return ModelRef{}, errors.New("empty model reference; write org/name or a path such as ./folder")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return ModelRef{}, errors.New("control character in a model reference")
	case isPath(text):
		return ModelRef{Local: text}, nil
	case bucketScheme.MatchString(text):
		text = strings.Replace(text, "azblob://", "az://", 1)
		if !bucketPattern.MatchString(text) {
			// Not quoted: people do paste keys into such URLs.
			return ModelRef{}, errors.New("not a reference to a bucket; write s3://bucket/prefix (or gs://, az://), without keys or options (those belong to the machine's settings of that cloud)")
		}
		return ModelRef{Bucket: strings.TrimRight(text, "/")}, nil
	case strings.Contains(text, "://"):
		return ModelRef{}, errors.New("a URL is not a model reference; write org/name or a path such as ./folder")
	}
	repo, revision, found := strings.Cut(text, "@")
	if err := checkRepo(repo); err != nil {
		return ModelRef{}, err
	}
	if found {
		if err := checkRevision(revision); err != nil {
			return ModelRef{}, err
		}
	}
	return ModelRef{Repo: repo, Revision: revision}, nil
}

func isPath(text string) bool {
	return text == "." || text == ".." || text == "~" ||
		strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") ||
		strings.HasPrefix(text, "../") || strings.HasPrefix(text, "~/")
}

var (
	bucketScheme    = regexp.MustCompile(`^(s3|gs|az|azblob)://`)
	bucketPattern   = regexp.MustCompile(`^(s3|gs|az)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^?#\s]*)?$`)
	repoPattern     = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$`)
	revisionPattern = regexp.MustCompile(`^[^\s@:?*\[\\^~]+$`)
)

// checkRepo holds a repository's id to the Hub's rules: at most one slash,
// letters, digits and ._-, 96 characters, no "--" or "..", no part that starts
// or ends with - or ., no ".git" at the end.
func checkRepo(id string) error {
	bad := func(why string) error { return fmt.Errorf("%.120q is not a repository: %s", id, why) }
	switch {
	case id == "":
		return errors.New("the repository's name is missing; write org/name")
	case strings.Count(id, "/") > 1:
		return bad("it has more than one slash (write ./ before a folder)")
	case !repoPattern.MatchString(id):
		return bad("only letters, digits and . _ - are allowed in org/name (write ./ before a folder)")
	case len(id) > 96:
		return bad("it has more than 96 characters")
	case strings.Contains(id, "--") || strings.Contains(id, ".."):
		return bad(`"--" and ".." are not allowed`)
	case strings.HasSuffix(id, ".git"):
		return bad(`it must not end in ".git"`)
	}
	for part := range strings.SplitSeq(id, "/") {
		if strings.Trim(part, "-.") != part {
			return bad("no part may start or end with - or .")
		}
	}
	return nil
}

// checkRevision holds a revision to what git allows in a name.
func checkRevision(revision string) error {
	switch {
	case revision == "":
		return errors.New("nothing after @; write a branch, a tag or a commit")
	case len(revision) > 255 || !revisionPattern.MatchString(revision) || strings.Contains(revision, "..") ||
		strings.HasPrefix(revision, "-") || strings.HasPrefix(revision, "/") || strings.HasSuffix(revision, "/"):
		return fmt.Errorf("%.120q is not a revision; write a branch, a tag or a commit", revision)
	}
	return nil
}
