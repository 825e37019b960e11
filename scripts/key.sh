#!/usr/bin/env bash
# Prints the authkey of the master that `docker compose` runs here, in one line.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/master-up.sh
. scripts/master-up.sh
need_master key "make up"
docker compose exec -T master python -c '
import sys
from queue_manager.authkey import find_authkey
from queue_manager.settings import load_settings
sys.stdout.buffer.write(find_authkey(load_settings()) + b"\n")
'
