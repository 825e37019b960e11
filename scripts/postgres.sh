#!/usr/bin/env bash
# Prepares what tests of the PostgreSQL store need besides .venv: the server's programs. As root on
# Debian it installs them; elsewhere it prints how to get them, and exits with 1. The tests make
# clusters of their own (tests/postgres_server.py), so the package makes none and starts no service.
set -euo pipefail
cd "$(dirname "$0")/.."

LOG=.cache/postgres.log
CLUSTERS=/etc/postgresql-common

cannot() {
    echo "postgres: $*" >&2
    exit 1
}

if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then exit 0; fi
if command -v postgres >/dev/null && command -v initdb >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    cannot "this machine has no PostgreSQL server: install it (Debian: apt-get install postgresql)"
fi
echo "postgres: installing postgresql from Debian ..." >&2
mkdir -p .cache "$CLUSTERS"
# The package makes no cluster and starts none where its settings were there before it and say so.
[ -e "$CLUSTERS/createcluster.conf" ] || echo 'create_main_cluster = false' >"$CLUSTERS/createcluster.conf"
if ! { apt-get -q update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
    install --no-install-recommends postgresql; } </dev/null >"$LOG" 2>&1; then
    tail -n 15 "$LOG" >&2
    cannot "apt-get failed; the whole output is in $LOG"
fi
