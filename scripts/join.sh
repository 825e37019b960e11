#!/usr/bin/env bash
# Prints the commands that start workers of the master that `docker compose` runs here on another
# host: in a clone of this project, or in the folder that `make ship` has made there.
#
# The authkey is in none of them: the first command asks for it there. With HOSTS="b c" it is sent
# over ssh instead (SSH=... and SHIP_FOLDER=... are as in ship.sh). ONE_LINE=1 prints one command
# with the key in it, which a shell keeps in its history.
set -euo pipefail
cd "$(dirname "$0")/.."

SSH=${SSH:-ssh}
FOLDER=${SHIP_FOLDER:-quartermaster}

# shellcheck source=scripts/master-up.sh
. scripts/master-up.sh
need_master join "QUEUE_PUBLISH=ADDRESS:5000 docker compose up --detach"
# From the container, since it may have been set in `.env`.
port=$(docker compose exec -T master printenv QUEUE_PORT)
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
host=${host#[}
host=${host%]}

words="QUEUE_HOST=$host QUEUE_PORT=${published##*:}"
tls=$(docker compose exec -T master printenv QUEUE_TLS || true)
up="${tls:+QUEUE_TLS=$tls }WORKER_NAME=\$(hostname) docker compose up --detach --no-deps --scale worker=4 worker"

if [ -n "${ONE_LINE:-}" ]; then
    # In the master's container, where Python is sure to be there to quote the key.
    key=$(scripts/key.sh | docker compose exec -T master \
        python -c 'import shlex, sys; print(shlex.quote(sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")))')
    echo "$words QUEUE_AUTHKEY=$key $up"
    exit
fi

if [ -z "${HOSTS:-}" ]; then
    echo "join: the first command asks for the authkey, once on each host: \`make key\` prints it here." >&2
    echo "docker compose run --rm key"
fi
for other in ${HOSTS:-}; do
    # shellcheck disable=SC2086  # SSH may be several words
    if ! scripts/key.sh | $SSH "$other" "cd $FOLDER && docker compose run --rm -T key" >&2; then
        echo "join: $other has not got the key: is there a clone in the folder $FOLDER, or did" \
            "\`make ship\` make it?" >&2
        exit 1
    fi
done
echo "$words $up"
