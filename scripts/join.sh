#!/usr/bin/env bash
# Prints the commands that start workers on another host for the master that `docker compose` runs
# here. The user types them in a clone of this project, or in the folder that `make ship` made there.
#
# No command has the authkey in it: the first command asks for the key. With HOSTS="b c" this script
# sends the key over ssh instead; SSH=... and SHIP_FOLDER=... are those of ship.sh. With ONE_LINE=1 it
# prints one command with the key in it, which a shell keeps in its history.
set -euo pipefail
cd "$(dirname "$0")/.."

SSH=${SSH:-ssh}
FOLDER=${SHIP_FOLDER:-quartermaster}

# shellcheck source=scripts/master-up.sh
. scripts/master-up.sh
need_master join "QUEUE_PUBLISH=ADDRESS:5000 docker compose up --detach"
# The container knows the port, which `.env` may have set.
port=$(docker compose exec -T master printenv QUEUE_PORT)

# reached SERVICE VARIABLE: prints ADDRESS:PORT, by which other hosts reach that master. Fails with one line
# if they don't. VARIABLE is what publishes it.
reached() {
    local published host
    published=$(docker compose port "$1" "$port")
    host=${published%:*}
    case $host in
        127.* | "[::1]")
            echo "join: the $1 is published on $published, which other hosts can't reach:" \
                "$2=ADDRESS:5000 docker compose up --detach $1" >&2
            return 1
            ;;
        0.0.0.0 | "[::]")
            # The master listens at every address of this host. Other hosts get the address from which
            # this host reaches them.
            host=$(ip -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')
            host=${host:-$(hostname -I | awk '{print $1}')}
            ;;
    esac
    echo "$host:${published##*:}"
}

first=$(reached master QUEUE_PUBLISH)
if docker compose config --services | grep -qx master2; then # deploy/postgres.yml: two masters
    second=$(reached master2 QUEUE2_PUBLISH)
    words="QUEUE_HOST=$first,$second"
else
    host=${first%:*}
    host=${host#[}
    words="QUEUE_HOST=${host%]} QUEUE_PORT=${first##*:}"
fi
tls=$(docker compose exec -T master printenv QUEUE_TLS || true)
up="${tls:+QUEUE_TLS=$tls }WORKER_NAME=\$(hostname) docker compose up --detach --no-deps --scale worker=4 worker"

if [ -n "${ONE_LINE:-}" ]; then
    # The master's container has Python to quote the key.
    key=$(scripts/key.sh | docker compose exec -T master \
        python -c 'import shlex, sys; print(shlex.quote(sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")))')
    echo "$words QUEUE_AUTHKEY=$key $up"
    exit
fi

if [ -z "${HOSTS:-}" ]; then
    echo "join: the first command asks for the authkey, once on each host; \`make key\` prints it here." >&2
    echo "docker compose run --rm key"
fi
for other in ${HOSTS:-}; do
    # shellcheck disable=SC2086  # SSH may be several words
    if ! scripts/key.sh | $SSH "$other" "cd $FOLDER && docker compose run --rm -T key" >&2; then
        echo "join: $other did not take the key: it needs a clone in its folder $FOLDER, or what" \
            "\`make ship\` copies there" >&2
        exit 1
    fi
done
echo "$words $up"
