#!/usr/bin/env bash
# Prints the lines that turn the tutorial's worker or master script into a client of the master that
# `docker compose` runs here.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/master-up.sh
. scripts/master-up.sh
need_master client "make up"
# The container knows the port, which `.env` may have set.
port=$(docker compose exec -T master printenv QUEUE_PORT)
# Of two masters (deploy/postgres.yml) the script needs the active one. The containers know both by name.
active=$(docker compose exec -T master python -c '
from queue_manager.settings import load_settings
from queue_manager.wire.reach.masters import Masters

place = Masters(load_settings().masters).look()
print(place.address[0] if place else "")')
case $active in
    master | master2) ;;
    *) active=master ;; # it is busy, or QUEUE_HOST was set to something else
esac
published=$(docker compose port "$active" "$port")

# The master's container has the key, and Python to quote it.
docker compose exec -T master python - "$published" <<'PYTHON'
import sys

from queue_manager.authkey import find_authkey
from queue_manager.settings import load_settings
from queue_manager.wire.tls import master_mode

host, _, port = sys.argv[1].rpartition(":")
host = host.strip("[]")
if host in ("0.0.0.0", "::"):
    host = "127.0.0.1"
settings = load_settings()
if master_mode(settings) == "required":
    print(
        "client: this master takes encrypted connections only, and the tutorial's script can't"
        " encrypt: QUEUE_TLS=auto docker compose up --detach master accepts its plain connections",
        file=sys.stderr,
    )
key = find_authkey(settings).decode("utf-8", "surrogateescape")
quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
authkey = f"b{quoted}" if key.isascii() else f"{quoted}.encode()"
print(f'server_addr = "{host}"')
print(f"m = QueueManager(address=(server_addr, {port}), authkey={authkey})")
print("m.connect()")
PYTHON
