#!/usr/bin/env bash
# Prints the authkey of the master that `docker compose` runs here, as one line.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker compose exec -T master true 2>/dev/null; then
    echo "key: no master is running here: make up" >&2
    exit 1
fi
docker compose exec -T master python -c '
import sys
from queue_manager.authkey import find_authkey
from queue_manager.settings import load_settings
sys.stdout.buffer.write(find_authkey(load_settings()) + b"\n")
'
