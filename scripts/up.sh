#!/usr/bin/env bash
# Starts the master and eight workers, shows the master's log until its run is done, and prints what to
# try next. docs/design.md says why the script does not use `docker compose up --wait`.
set -euo pipefail
cd "$(dirname "$0")/.."

WORKERS=${WORKERS:-8}
LIMIT_S=${UP_LIMIT_S:-120}

# shellcheck source=scripts/build-settings.sh
. scripts/build-settings.sh

# The containers' user (uid 1000) reads the mounted jobs/. After a clone with a umask of 077 it could
# not.
chmod -R a+rX jobs

# The script shows the output of the build only if the build fails.
echo "building the images (output in .cache/build.log) ..."
if ! BUILDKIT_PROGRESS=plain docker compose build >.cache/build.log 2>&1; then
    tail -n 30 .cache/build.log >&2
    exit 1
fi
echo "starting the master and $WORKERS workers ..."
if ! docker compose up --detach --no-build --scale worker="$WORKERS" >.cache/up.log 2>&1; then
    cat .cache/up.log >&2
    exit 1
fi

pipe=$(mktemp -u)
mkfifo "$pipe"
docker compose logs --follow --no-log-prefix master >"$pipe" 2>&1 &
follower=$!
exec 3<"$pipe"
rm "$pipe"
trap 'kill "$follower" 2>/dev/null || true' EXIT

restarts() { docker inspect --format '{{.RestartCount}}' "$(docker compose ps --all --quiet master)"; }

# The stack may have been up for weeks, so only restarts from now on count.
restarts_before=$(restarts)
deadline=$((SECONDS + LIMIT_S))
reason="was not done within $LIMIT_S s"
while [ "$SECONDS" -lt "$deadline" ]; do
    if IFS= read -r -t 2 line <&3; then
        # Compose 2.26 begins each line with the terminal's "erase line", also without a terminal.
        line=${line#$'\e[2K'}
        printf '%s\n' "$line"
        case $line in
            "run "*" done, "*" dead letter"*)
                echo
                echo "It stays up: make client, make logs, make down."
                exit 0
                ;;
        esac
    elif ! kill -0 "$follower" 2>/dev/null || [ "$(restarts)" -gt "$((restarts_before + 2))" ]; then
        reason="ended early: the master does not stay up"
        break
    fi
done

docker compose ps --all >&2
# The container knows the job, which `.env` may have set.
job=$(docker compose exec -T master printenv JOB 2>/dev/null) || job=square
if [ "$job" != square ] && [ "$SECONDS" -ge "$deadline" ]; then
    echo "The run of $job goes on: follow it with \`make logs\`."
    exit 0
fi
echo "The run $reason: see \`docker compose logs master\`." >&2
exit 1
