#!/usr/bin/env bash
# Installs the servers that `make bench-peers` starts for other queues, for root on Debian: Redis and
# PostgreSQL. No service of theirs is started: redis-tools has the server without one, and
# scripts/postgres.sh has the package make no cluster. GNU Parallel is for `make bench NAMES=shell`, GoAccess for `make bench NAMES=logs`.
# `peers.sh redis` installs Redis alone. Elsewhere the benchmark says in a row which server is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

debian_root() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -q '^ID=debian$' /etc/os-release 2>/dev/null
}

missing=()
command -v redis-check-rdb >/dev/null || missing+=(redis-tools)
[ "${1:-}" = redis ] || scripts/postgres.sh || echo "peers: rows that need PostgreSQL say so" >&2
[ "${1:-}" = redis ] || command -v parallel >/dev/null || missing+=(parallel)
[ "${1:-}" = redis ] || command -v goaccess >/dev/null || missing+=(goaccess)
if [ "${#missing[@]}" = 0 ] || ! debian_root; then exit 0; fi

echo "peers: installing ${missing[*]} from Debian ..." >&2
mkdir -p .cache
if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${missing[@]}"; } </dev/null >.cache/peers.log 2>&1; then
    tail -n 5 .cache/peers.log >&2
    echo "peers: apt-get failed; rows that need a server say so" >&2
fi
