#!/bin/sh
# Installs the S3 server that the tests run, versitygw, as DIR/versitygw:
#   setup.sh DIR
# The version is pinned; a folder that has it already is left alone.
set -eu

dir=${1:?usage: setup.sh DIR}
version=v1.8.0

mkdir -p "$dir"
if [ "$(cat "$dir/versitygw.version" 2>/dev/null || true)" = "$version" ]; then
	exit 0
fi
GOBIN=$(cd "$dir" && pwd) GOFLAGS=-trimpath CGO_ENABLED=0 "${GO:-go}" install "github.com/versity/versitygw/cmd/versitygw@$version"
echo "$version" >"$dir/versitygw.version"
