#!/usr/bin/env bash
# `demo.sh images` crawls the small site of deploy/demo with a master, a web server and four workers in
# a compose project of its own, copies the pictures and the contact sheet to ./shared/demo, and prints
# where they are. `demo.sh logs` does the same with logs that it makes, and their report. The script removes all its containers at its end, also after Ctrl-C. It does not touch
# your own queue on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

WORKERS=4
OUT=shared/demo
case ${1:-images} in
    images)
        # The site has 15 pages. This rate is fast enough to wait for, and slow enough to watch.
        RUN=(images start=http://web/ private=1 per_second=10 at_once=4)
        PAGE=$OUT/images/index.html
        WHAT="contact sheet"
        ;;
    logs)
        RUN=(logs "paths=/shared/logs/access*" megabytes=2 out=/shared/report
            by=status,path,client,hour,method,referrer,agent)
        PAGE=$OUT/report/index.html
        WHAT="report"
        ;;
    *)
        echo "demo: no demo '$1': there is images, logs" >&2
        exit 2
        ;;
esac

export COMPOSE_PROJECT_NAME=${DEMO_PROJECT:-quartermaster-demo}
export COMPOSE_FILE=docker-compose.yml:compose.demo.yml COMPOSE_PATH_SEPARATOR=:
# A shell or `.env` may have these settings for the user's own queue. Empty means unset.
export QUEUE_PUBLISH=127.0.0.1: QUEUE_PORT='' QUEUE_HOST='' QUEUE_TLS='' QUEUE_AUTHKEY='' \
    QUEUE_ALLOW_WEAK_AUTHKEY='' QUEUE_KEEP_DAYS='' QUEUE_MAX_BYTES='' \
    QUEUE_NAMES='' QUEUE_STOCK_ACK='' QUEUE_UPLOADS='' \
    QUEUE_ENVIRONMENTS='' UV_DEFAULT_INDEX='' UV_INDEX='' \
    PIDS_LIMIT='' WORKER_NAME='' WORKER_JOBS='' WORKER_TAGS='' WORKER_SLOTS='' WORKER_DRAIN_S=''

# shellcheck source=scripts/build-settings.sh
. scripts/build-settings.sh

if command -v flock >/dev/null 2>&1; then
    exec 8>.cache/demo.lock
    if ! flock --nonblock 8; then
        echo "demo: another demo is running." >&2
        exit 1
    fi
fi

# quietly WHAT COMMAND...: runs the command, and shows its output only if it fails.
quietly() {
    local what=$1
    shift
    if ! BUILDKIT_PROGRESS=plain "$@" >.cache/demo.log 2>&1 8>&-; then
        tail -n 30 .cache/demo.log >&2
        echo "demo: $what failed." >&2
        exit 1
    fi
}

stop() { docker compose down --volumes --timeout 2 >.cache/demo-down.log 2>&1 8>&-; }

# A demo that was killed leaves containers, and an index that could be taken for this demo's.
stop || true
rm -f "${PAGE%.html}".*
# The containers' users read these mounted folders. After a clone with a umask of 077 they could not.
chmod -R a+rX jobs deploy/demo/site

echo "building the images ..."
quietly "the build" docker compose build
trap 'stop || cat .cache/demo-down.log >&2' EXIT
# Without these two, bash would end on a signal without the trap above.
trap 'exit 130' INT
trap 'exit 143' TERM
echo "starting master, web server and $WORKERS workers ..."
quietly "the start" docker compose up --detach --no-build --scale worker="$WORKERS"

if [ "${1:-images}" = logs ]; then
    echo "making logs ..."
    quietly "the making of logs" docker compose exec -T master python3 - <deploy/demo/make_logs.py
fi

# The master's log shows how far the crawl is.
show() {
    local line
    while IFS= read -r line; do
        # Compose 2.26 begins each line with the terminal's "erase line". The advice at the end of the
        # last line is about another queue than this one.
        line=${line#$'\e[2K'}
        printf '%s\n' "${line%. Submit another: *}"
    done
}
docker compose logs --follow --no-log-prefix master > >(show) 2>/dev/null 8>&- &
follower=$!
code=0
docker compose exec -T master qm submit "${RUN[@]}" --wait </dev/null >/dev/null || code=$?
# The log's last lines may still be on their way.
sleep 0.5
kill "$follower" 2>/dev/null || true
if [ "$code" != 0 ]; then echo "demo: the run failed." >&2; fi

FETCH_TO=$OUT HOSTS='' FETCH_VOLUME='' scripts/fetch.sh 8>&- || code=1
if [ ! -s "$PAGE" ]; then
    echo "demo: the run left no $WHAT." >&2
    exit 1
fi
echo "Look at $PWD/$PAGE"
exit "$code"
