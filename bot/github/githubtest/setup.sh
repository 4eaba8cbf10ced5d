#!/bin/sh
# Installs what the tests need to stand up a GitHub of their own:
#   setup.sh DIR        makes DIR/node_modules (the emulator) and DIR/api.github.com.json (GitHub's own description of its API)
# Versions are pinned, and the description's hash is checked; a folder that has them already is left alone.
set -eu

dir=${1:?usage: setup.sh DIR}
emulator="emulate@0.8.0 commander@14.0.3 picocolors@1.1.1 yaml@2.9.1"
description=@octokit/openapi@23.0.2
hash=829b4bebb19a53133289f7b0bc819f4f1118115821db2ca9f25e9ee995a7da2a

mkdir -p "$dir"
stamp="$dir/installed"
want="$emulator $description $hash"
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then
	exit 0
fi

# shellcheck disable=SC2086 # the emulator and what it needs are several words
npm install --prefix "$dir" --silent --no-audit --no-fund --save-exact $emulator

# The package holds every edition of the description, 400 MB; one file of it is wanted.
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
npm pack --silent --pack-destination "$packed" "$description" >/dev/null
tar -xzf "$packed"/*.tgz -C "$packed" package/generated/api.github.com.json
json="$packed/package/generated/api.github.com.json"
got=$(sha256sum "$json" | cut -d' ' -f1)
if [ "$got" != "$hash" ]; then
	echo "setup.sh: api.github.com.json of $description has SHA-256 $got, want $hash" >&2
	exit 1
fi
mv "$json" "$dir/api.github.com.json.new"
mv "$dir/api.github.com.json.new" "$dir/api.github.com.json"
echo "$want" >"$stamp"
