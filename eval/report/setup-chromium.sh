#!/bin/sh
# Makes sure that a Chromium is there for the tests that drive the report's pages: installs Debian's where that can be
# done without asking. Prints nothing and fails when there is none.
set -eu
for name in chromium google-chrome chromium-browser; do
	if command -v "$name" >/dev/null 2>&1; then
		exit 0
	fi
done
command -v apt-get >/dev/null 2>&1 || exit 1
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo -n"
fi
export DEBIAN_FRONTEND=noninteractive
timeout 300 $sudo apt-get update -qq >/dev/null
timeout 600 $sudo apt-get install -qq -y --no-install-recommends chromium >/dev/null
