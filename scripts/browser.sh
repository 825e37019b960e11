#!/usr/bin/env bash
# Prepares what tests/browser needs besides .venv: Chromium. As root on Debian it installs the browser;
# elsewhere it prints how to get it, and exits with 1. CHROMIUM=... names a browser by its path.
set -euo pipefail
cd "$(dirname "$0")/.."

LOG=.cache/browser.log

cannot() {
    echo "browser: $*" >&2
    exit 1
}

if [ -n "${CHROMIUM:-}" ]; then
    command -v "$CHROMIUM" >/dev/null || cannot "CHROMIUM=$CHROMIUM is no program"
    exit 0
fi
# The same names, in the same order, are in tests/browser/chromium.py.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    cannot "this machine has no Chromium: install it (Debian: apt-get install chromium), or name it with CHROMIUM=..."
fi
echo "browser: installing chromium from Debian ..." >&2
mkdir -p .cache
if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends chromium; } </dev/null >"$LOG" 2>&1; then
    tail -n 15 "$LOG" >&2
    cannot "apt-get failed; the whole output is in $LOG"
fi
