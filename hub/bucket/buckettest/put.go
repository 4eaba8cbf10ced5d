package buckettest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"gocloud.dev/blob"
)

// PutFolder puts the files of a folder into a bucket, below a prefix that ends with a slash.
func PutFolder(t testing.TB, b *blob.Bucket, prefix, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.WriteAll(context.Background(), prefix+e.Name(), content, nil); err != nil {
			t.Fatal(err)
		}
	}
}
