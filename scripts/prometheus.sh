#!/usr/bin/env bash
# Prepares what tests/metrics needs besides .venv: Prometheus and its promtool. As root on Debian it
# installs both; elsewhere it prints how to get them, and exits with 1. The tests start a Prometheus
# of their own, so the package's service is not started.
set -euo pipefail
cd "$(dirname "$0")/.."

LOG=.cache/prometheus.log

cannot() {
    echo "prometheus: $*" >&2
    exit 1
}

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    cannot "this machine has no Prometheus: install it (Debian: apt-get install prometheus)"
fi
echo "prometheus: installing prometheus from Debian ..." >&2
mkdir -p .cache
# RUNLEVEL=1: policy-rc.d and invoke-rc.d start no service in this run level.
if ! { apt-get -q update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends prometheus; } </dev/null >"$LOG" 2>&1; then
    tail -n 15 "$LOG" >&2
    cannot "apt-get failed; the whole output is in $LOG"
fi
