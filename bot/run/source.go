package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/hub/bucket"
	"mergebot/merge/checkpoint"
)

// source is where a checkpoint's files are looked at before they are fetched: a repository of the Hub at a commit, or a
// bucket.
type source interface {
	tree(ctx context.Context) ([]hub.File, error)
	// read gives a small file whole; hub.ErrEntryNotFound where there is none.
	read(ctx context.Context, path string) ([]byte, error)
	// header gives a safetensors file's header.
	header(ctx context.Context, f hub.File) ([]byte, error)
	// lock is what the lock says of a file of the tree.
	lock(f hub.File) LockedFile
}

// repository is a model's repository at a commit.
type repository struct {
	hub  *hub.Client
	repo hub.Repo
	sha  string
}

func (s *resolver) repository(m LockedModel) source {
	return repository{s.env.Hub, hub.Repo{Type: hub.Model, ID: m.Repo}, m.SHA}
}

func (r repository) tree(ctx context.Context) ([]hub.File, error) {
	return r.hub.Tree(ctx, r.repo, r.sha)
}

func (r repository) read(ctx context.Context, path string) ([]byte, error) {
	return r.hub.Read(ctx, r.repo, r.sha, path)
}

func (r repository) header(ctx context.Context, f hub.File) ([]byte, error) {
	return r.hub.SafetensorsHeader(ctx, r.repo, r.sha, f)
}

func (r repository) lock(f hub.File) LockedFile {
	return LockedFile{Path: f.Path, Size: f.Size, SHA256: f.SHA256, OID: f.OID}
}

// prefix is what a bucket holds below a prefix, as it was listed once. Reads fail when it has changed since.
type prefix struct {
	buckets *bucket.Client
	at      bucket.Location
	files   []bucket.File
}

// bucket lists what a reference to a bucket names.
func (s *resolver) bucket(ctx context.Context, ref configs.ModelRef) (*prefix, error) {
	if s.env.Buckets == nil {
		return nil, refuse("%s: buckets are not read here; give a Hub repo or a folder", ref.Bucket)
	}
	at, err := bucket.Parse(ref.Bucket)
	if err != nil {
		return nil, refuse("%w", err)
	}
	files, err := asked(ctx, s, func() ([]bucket.File, error) { return s.env.Buckets.List(ctx, at) })
	return &prefix{s.env.Buckets, at, files}, err
}

// inBucket finds the files and headers of a model in a bucket. Its licence and descent are not known.
func (s *resolver) inBucket(ctx context.Context, ref configs.ModelRef) (LockedModel, []checkpoint.Tensor, error) {
	from, err := s.bucket(ctx, ref)
	if err != nil {
		return LockedModel{}, nil, err
	}
	m := LockedModel{Name: ref.Bucket, Bucket: ref.Bucket}
	tensors, err := s.files(ctx, ref, from, &m)
	if err == nil {
		err = s.bind(&m)
	}
	if err == nil && s.descent {
		m.warnings = append(m.warnings, fmt.Sprintf("%s lies in a bucket: its licence and what it was made from cannot be checked", ref.Bucket))
	}
	return m, tensors, err
}

// bind gives a model from a bucket what stands for its commit, and compares it with the pinned one.
func (s *resolver) bind(m *LockedModel) error {
	files := make([]LockedFile, len(m.Files))
	for i, f := range m.Files {
		files[i] = f.content()
	}
	var err error
	if m.SHA, err = hashOf(files); err != nil {
		return err
	}
	pinned, err := s.pins.revision("model", m.Bucket, "")
	if err != nil || pinned == "" || pinned == m.SHA {
		return err
	}
	return fmt.Errorf("%w: %s holds other files (%s) than were planned with (%s): plan again, or put the old ones back", ErrStale, m.Bucket, short(m.SHA), short(pinned))
}

func (p *prefix) tree(context.Context) ([]hub.File, error) {
	out := make([]hub.File, len(p.files))
	for i, f := range p.files {
		out[i] = hub.File{Path: f.Path, Size: f.Size}
	}
	return out, nil
}

// find is the file as it was listed.
func (p *prefix) find(path string) (bucket.File, error) {
	i := slices.IndexFunc(p.files, func(f bucket.File) bool { return f.Path == path })
	if i < 0 {
		return bucket.File{}, fmt.Errorf("%s/%s: %w", p.at, path, hub.ErrEntryNotFound)
	}
	return p.files[i], nil
}

func (p *prefix) read(ctx context.Context, path string) ([]byte, error) {
	f, err := p.find(path)
	if err != nil {
		return nil, err
	}
	return p.buckets.Read(ctx, p.at, f)
}

func (p *prefix) header(ctx context.Context, f hub.File) ([]byte, error) {
	there, err := p.find(f.Path)
	if err != nil {
		return nil, err
	}
	return p.buckets.SafetensorsHeader(ctx, p.at, there)
}

func (p *prefix) lock(f hub.File) LockedFile {
	out := LockedFile{Path: f.Path, Size: f.Size}
	if there, err := p.find(f.Path); err == nil {
		out.MD5, out.ETag = there.MD5, there.ETag
	}
	return out
}

// content is a file as far as its bytes are concerned. The same bytes, put into a bucket again, may get another ETag, but
// not another MD5; what a download finds out changes nothing.
func (f LockedFile) content() LockedFile {
	if f.MD5 != "" {
		return LockedFile{Path: f.Path, Size: f.Size, MD5: f.MD5}
	}
	if f.ETag != "" {
		return LockedFile{Path: f.Path, Size: f.Size, ETag: f.ETag}
	}
	return f
}

// where names the repository, bucket or folder of a model.
func (m LockedModel) where() string { return cmp.Or(m.Repo, m.Bucket, m.Path) }

// objects are the files of a model in a bucket, for its client.
func (m *LockedModel) objects() (bucket.Location, []bucket.File, error) {
	at, err := bucket.Parse(m.Bucket)
	var out []bucket.File
	for _, f := range m.Files {
		out = append(out, bucket.File{Path: f.Path, Size: f.Size, ETag: f.ETag, MD5: f.MD5})
	}
	return at, out, err
}

// missing is how many bytes of a model are still to be fetched.
func (e *Env) missing(m LockedModel) int64 {
	switch {
	case m.Repo != "":
		return e.Hub.Missing(hub.Repo{Type: hub.Model, ID: m.Repo}, m.hubFiles())
	case m.Bucket != "" && e.Buckets != nil:
		if at, files, err := m.objects(); err == nil {
			return e.Buckets.Missing(at, files)
		}
	}
	return 0
}

// fromBucket brings a model of a bucket here. The lock then has the SHA-256 of its files.
func (x *execution) fromBucket(ctx context.Context, m *LockedModel) (string, error) {
	at, files, err := m.objects()
	if err != nil {
		return "", err
	}
	phase, subject, begin := Cached, m.String(), time.Now()
	missing := x.env.Buckets.Missing(at, files)
	watch := func(int64, int64) {}
	if missing > 0 {
		phase, watch = Finished, x.progress(stepFetch, subject, "bytes")
		if err := x.journal.emit(ctx, Event{Phase: Started, Step: stepFetch.Name, Subject: subject}); err != nil {
			return "", err
		}
		if free, err := FreeSpace(x.env.Buckets.CacheDir()); err == nil && free < uint64(missing) {
			return "", fmt.Errorf("%w: %s needs %s, and %s is free in %s: free some space, or set MERGEBOT_BUCKET_CACHE to another volume",
				hub.ErrNoSpace, m.Bucket, humanize.IBytes(uint64(missing)), humanize.IBytes(free), x.env.Buckets.CacheDir())
		}
	}
	dir, sums, err := x.env.Buckets.Snapshot(ctx, at, m.SHA, files, watch)
	if err != nil {
		x.journal.emit(context.WithoutCancel(ctx), Event{Phase: Failed, Step: stepFetch.Name, Subject: subject, Text: err.Error()})
		return "", err
	}
	for i := range m.Files {
		m.Files[i].SHA256 = sums[m.Files[i].Path]
	}
	e := Event{Phase: phase, Step: stepFetch.Name, Subject: subject}
	if phase == Finished {
		e.Done, e.Total, e.Unit, e.Seconds = m.Bytes, m.Bytes, "bytes", time.Since(begin).Seconds()
	}
	return dir, x.journal.emit(ctx, e)
}
