#!/usr/bin/env bash
# Prepares what the test of docs/high-availability.md's HAProxy needs besides .venv: the proxy. As root on
# Debian it installs it; elsewhere it prints how to get it, and exits with 1. The test starts a proxy of
# its own, so the package's service is not started.
set -euo pipefail
cd "$(dirname "$0")/.."

LOG=.cache/haproxy.log

cannot() {
    echo "haproxy: $*" >&2
    exit 1
}

if command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    cannot "this machine has no HAProxy: install it (Debian: apt-get install haproxy)"
fi
echo "haproxy: installing haproxy from Debian ..." >&2
mkdir -p .cache
# RUNLEVEL=1: policy-rc.d and invoke-rc.d start no service in this run level.
if ! { apt-get -q update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends haproxy; } </dev/null >"$LOG" 2>&1; then
    tail -n 15 "$LOG" >&2
    cannot "apt-get failed; the whole output is in $LOG"
fi
