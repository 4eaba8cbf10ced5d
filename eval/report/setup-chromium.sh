#!/bin/sh
# Makes sure that a Chromium is there for the tests that drive the report's pages. Root, which a container's user is,
# gets Debian's installed; nobody else's machine is changed. Prints nothing and fails when there is none.
set -eu
for name in chromium google-chrome chromium-browser; do
	if command -v "$name" >/dev/null 2>&1; then
		exit 0
	fi
done
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || exit 1
export DEBIAN_FRONTEND=noninteractive
timeout 90 apt-get update -qq >/dev/null 2>&1
timeout 240 apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1
