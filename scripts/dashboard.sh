#!/usr/bin/env bash
# Prints the link to the pages of the master that `docker compose` runs here.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/master-up.sh
. scripts/master-up.sh
need_master dashboard "make up"
# compose knows which port of this host was free.
docker compose exec -T master qm dashboard --at "$(docker compose port master 8080)" ${READ:+--read}
