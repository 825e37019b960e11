#!/usr/bin/env bash
# demo.sh images: crawls the small site of deploy/demo with a master, a web server and four workers in
# a compose project of its own, copies the pictures and the contact sheet to ./shared/demo, and prints
# where they are. demo.sh mail: sends a letter to the list of deploy/demo/mail, with a mail server that
# keeps it, and copies the letters and the report to ./shared/demo-mail. demo.sh logs: makes logs of a
# web server, counts them, and copies the report to ./shared/demo-logs.
# The script removes all its containers at its end, also after Ctrl-C. It does not touch your own queue
# on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

JOB_SHOWN=${1:-images}
WORKERS=4
case $JOB_SHOWN in
    images)
        OUT=shared/demo PAGE=images/index.html WHAT="contact sheet" SERVER="web server"
        OVER=compose.demo.yml PROJECT=quartermaster-demo
        # The site has 15 pages. This rate is fast enough to wait for, and slow enough to watch.
        ARGUMENTS=(start=http://web/ private=1 per_second=10 at_once=4)
        ;;
    mail)
        OUT=shared/demo-mail PAGE=mail/spring/index.html WHAT=report SERVER="mail server"
        OVER=compose.demo-mail.yml PROJECT=quartermaster-demo-mail
        ARGUMENTS=(recipients=/letters/list.csv template=/letters/letter.html inline=/letters/logo.png
            "subject=Spring in {{ city }}, {{ name }}" "unsubscribe=https://letters.example/off?m={{ to }}"
            campaign=spring tls=off retry_s=2 rate=40)
        ;;
    logs)
        OUT=shared/demo-logs PAGE=report/index.html WHAT=report SERVER="web server"
        OVER=compose.demo.yml PROJECT=quartermaster-demo-logs
        ARGUMENTS=("paths=/shared/logs/access*" megabytes=2 out=/shared/report
            by=status,path,client,hour,method,referrer,agent)
        ;;
    *) echo "demo: images, logs or mail, not $JOB_SHOWN." >&2; exit 2 ;;
esac

# The project that the shell names is that of the user's own queue, whose volumes must stay. A name made
# of it keeps this demo apart from those of other users of the same engine, too.
if [ -n "${COMPOSE_PROJECT_NAME:-}" ]; then PROJECT=$COMPOSE_PROJECT_NAME-${PROJECT#quartermaster-}; fi
export COMPOSE_PROJECT_NAME=${DEMO_PROJECT:-$PROJECT}
export COMPOSE_FILE=docker-compose.yml:$OVER COMPOSE_PATH_SEPARATOR=:
# A shell or `.env` may have these settings for the user's own queue. Empty means unset.
export QUEUE_PUBLISH=127.0.0.1: QUEUE_PORT='' QUEUE_HOST='' QUEUE_TLS='' QUEUE_AUTHKEY='' \
    QUEUE_ALLOW_WEAK_AUTHKEY='' QUEUE_KEEP_DAYS='' QUEUE_LOG='' QUEUE_MAX_BYTES='' \
    MASTER_HTTP_PORT='' HTTP_PUBLISH='' HTTP_TLS_CERT='' HTTP_TLS_KEY='' HTTP_PLAIN='' HTTP_HOSTS='' \
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
rm -f "$OUT/${PAGE%.*}".*
# The containers' users read these mounted folders. After a clone with a umask of 077 they could not.
chmod -R a+rX jobs deploy/demo

echo "building the images ..."
quietly "the build" docker compose build
trap 'stop || cat .cache/demo-down.log >&2' EXIT
# Without these two, bash would end on a signal without the trap above.
trap 'exit 130' INT
trap 'exit 143' TERM
echo "starting master, $SERVER and $WORKERS workers ..."
quietly "the start" docker compose up --detach --no-build --scale worker="$WORKERS"

# Containers that are started may take seconds until the master has made its key and answers.
answers() {
    local left
    for ((left = 60; left > 0; left--)); do
        if docker compose exec -T master qm status </dev/null 8>&-; then return; fi
        sleep 1
    done
    return 1
}
quietly "the master" answers

if [ "$JOB_SHOWN" = logs ]; then
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
docker compose exec -T master qm submit "$JOB_SHOWN" "${ARGUMENTS[@]}" --wait </dev/null >/dev/null || code=$?
# The log's last lines may still be on their way.
sleep 0.5
kill "$follower" 2>/dev/null || true
# Some addresses of the list are refused, as in any list: such a run ends with 1.
if [ "$JOB_SHOWN" = mail ] && [ "$code" = 1 ]; then code=0; fi
if [ "$code" != 0 ]; then echo "demo: the run failed." >&2; fi

FETCH_TO=$OUT HOSTS='' FETCH_VOLUME='' scripts/fetch.sh 8>&- || code=1
if [ ! -s "$OUT/$PAGE" ]; then
    echo "demo: the run left no $WHAT." >&2
    exit 1
fi
if [ "$JOB_SHOWN" = mail ]; then
    for letter in "$OUT"/mail/received/new/*; do mv "$letter" "${letter%.eml}.eml"; done
    echo "The letters as they came are in $PWD/$OUT/mail/received/new"
fi
echo "Look at $PWD/$OUT/$PAGE"
exit "$code"
