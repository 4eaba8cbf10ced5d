package bucket

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	azureblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
)

// generation begins the ETag of what lies on Google's storage: its generation, which reads can be bound to.
const generation = "generation:"

// marks are what a listing says of an object's content: its ETag, and its MD5 where the store tells one.
func marks(o *blob.ListObject) (etag, md5 string) {
	md5 = hex.EncodeToString(o.MD5)
	var s3Object types.Object
	var gcs storage.ObjectAttrs
	var azure container.BlobItem
	switch {
	case o.As(&s3Object):
		etag = strings.Trim(aws.ToString(s3Object.ETag), `"`)
	case o.As(&gcs):
		etag = generation + strconv.FormatInt(gcs.Generation, 10)
	case o.As(&azure):
		if azure.Properties != nil && azure.Properties.ETag != nil {
			etag = string(*azure.Properties.ETag)
		}
	}
	if etag == "" && md5 == "" { // a folder: its times are all there is
		etag = "modified:" + strconv.FormatInt(o.ModTime.UnixNano(), 10)
	}
	return etag, md5
}

// only has a read succeed only while the object is the one that was listed.
func only(f File) func(func(any) bool) error {
	return func(as func(any) bool) error {
		var s3Input *s3.GetObjectInput
		var gcs **storage.ObjectHandle
		var azure *azblob.DownloadStreamOptions
		switch {
		case as(&s3Input):
			s3Input.IfMatch = aws.String(`"` + f.ETag + `"`)
		case as(&gcs):
			n, err := strconv.ParseInt(strings.TrimPrefix(f.ETag, generation), 10, 64)
			if err != nil {
				return fmt.Errorf("%s: %q is not a generation", f.Path, f.ETag)
			}
			*gcs = (*gcs).Generation(n)
		case as(&azure):
			tag := azcore.ETag(f.ETag)
			azure.AccessConditions = &azureblob.AccessConditions{ModifiedAccessConditions: &azureblob.ModifiedAccessConditions{IfMatch: &tag}}
		}
		return nil
	}
}

// answersRange says whether an answer begins at the offset: a proxy may ignore ranges.
func answersRange(r *blob.Reader, offset int64) bool {
	var out s3.GetObjectOutput
	if offset == 0 || !r.As(&out) {
		return true
	}
	return strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset))
}

// ownMD5 says whether an object's ETag may be the MD5 of its bytes as they are read: it is not of what was encrypted
// with a customer's key.
func ownMD5(r *blob.Reader) bool {
	var out s3.GetObjectOutput
	if !r.As(&out) {
		return true
	}
	return aws.ToString(out.SSECustomerAlgorithm) == "" && (out.ServerSideEncryption == "" || out.ServerSideEncryption == types.ServerSideEncryptionAes256)
}
