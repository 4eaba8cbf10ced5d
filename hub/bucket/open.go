// Package bucket reads checkpoints that lie in the buckets of S3, Google Cloud Storage and Azure, and opens such buckets
// for others. Who asks is said by the environment (and, of S3, the files) that the cloud's own tools read: no key is ever
// part of an address.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	"gocloud.dev/blob/s3blob"
)

const (
	silence = 30 * time.Second // the longest wait for an answer to begin, or for its next byte
	tries   = 8                // of one request by the SDK, before [Retry] takes over
)

// Open opens a location: its keys are those below the prefix. That the bucket is there is not looked at.
func Open(ctx context.Context, l Location) (b *blob.Bucket, err error) {
	if l.Scheme == "s3" {
		b, err = openS3(ctx, l)
	} else {
		u := url.URL{Scheme: l.Scheme, Host: l.Bucket, RawQuery: l.options.Encode()}
		b, err = blob.OpenBucket(ctx, u.String())
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l, err)
	}
	if l.Prefix != "" {
		b = blob.PrefixedBucket(b, l.Prefix+"/")
	}
	return b, nil
}

func openS3(ctx context.Context, l Location) (*blob.Bucket, error) {
	general, own := url.Values{}, url.Values{}
	for key, values := range l.options {
		switch key {
		case "use_path_style", "ssetype", "kmskeyid":
			own[key] = values
		default:
			general[key] = values
		}
	}
	elsewhere := l.options.Has("endpoint") || os.Getenv("AWS_ENDPOINT_URL_S3") != "" || os.Getenv("AWS_ENDPOINT_URL") != ""
	if elsewhere && os.Getenv("AWS_REQUEST_CHECKSUM_CALCULATION") == "" {
		// Servers that are not Amazon's often know no checksums after the body.
		general.Set("request_checksum_calculation", "when_required")
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, general)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		if !elsewhere {
			return nil, errors.New("no region is set: set AWS_REGION, or write ?region=… behind a storage's address")
		}
		cfg.Region = "us-east-1"
	}
	if cfg.RetryMaxAttempts == 0 && cfg.RetryMode == "" { // AWS_MAX_ATTEMPTS and AWS_RETRY_MODE are the user's word
		cfg.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = tries
				o.Backoff = retry.BackoffDelayerFunc(func(try int, _ error) (time.Duration, error) { return backoff(try), nil })
				o.RateLimiter = ratelimit.None // it gives up early where many requests fail at once
			})
		}
	}
	if client, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok || cfg.HTTPClient == nil {
		if client == nil {
			client = awshttp.NewBuildableClient()
		}
		cfg.HTTPClient = client.WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = silence
			t.MaxIdleConnsPerHost = 2 * workers
		})
	}
	pathStyle := elsewhere
	if text := own.Get("use_path_style"); text != "" {
		if pathStyle, err = strconv.ParseBool(text); err != nil {
			return nil, errors.New("use_path_style must be true or false")
		}
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	return s3blob.OpenBucket(ctx, client, l.Bucket, &s3blob.Options{EncryptionType: types.ServerSideEncryption(own.Get("ssetype")),
		KMSEncryptionID: own.Get("kmskeyid"), RequestChecksumCalculation: aws.RequestChecksumCalculation(cfg.RequestChecksumCalculation)})
}
