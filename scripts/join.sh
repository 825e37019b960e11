#!/usr/bin/env bash
# Prints the command that starts workers of the master that `docker compose` runs here on another
# host: in a clone of this project, or in the folder that `make ship` has made there.
set -euo pipefail
cd "$(dirname "$0")/.."

# From the container, since it may have been set in `.env`.
if ! port=$(docker compose exec -T master printenv QUEUE_PORT 2>/dev/null); then
    echo "join: no master is running here: QUEUE_PUBLISH=ADDRESS:5000 docker compose up --detach" >&2
    exit 1
fi
published=$(docker compose port master "$port")
host=${published%:*}
case $host in
    127.* | "[::1]")
        echo "join: the master is published on $published only, which other hosts can't reach:" \
            "QUEUE_PUBLISH=ADDRESS:5000 docker compose up --detach" >&2
        exit 1
        ;;
    0.0.0.0 | "[::]")
        # Of all addresses of this host, the one that it would reach others from.
        host=$(ip -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')
        host=${host:-$(hostname -I | awk '{print $1}')}
        ;;
esac

# In the master's container, where the key is and Python is sure to be there to quote it.
docker compose exec -T master python - "$host" "${published##*:}" <<'PYTHON'
import os
import shlex
import sys

from queue_manager.authkey import find_authkey
from queue_manager.settings import load_settings

host, port = sys.argv[1].strip("[]"), sys.argv[2]
settings = load_settings()
key = find_authkey(settings).decode("utf-8", "surrogateescape")
words = [f"QUEUE_HOST={host}", f"QUEUE_PORT={port}", f"QUEUE_AUTHKEY={shlex.quote(key)}"]
if os.environ.get("QUEUE_TLS"):
    words.append(f"QUEUE_TLS={settings.queue_tls}")
print(*words, "WORKER_NAME=$(hostname)", "docker compose up --detach --no-deps --scale worker=4 worker")
PYTHON
