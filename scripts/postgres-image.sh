#!/usr/bin/env bash
# Prepares the image of PostgreSQL that deploy/postgres.yml needs, behind scripts/engine.sh: the
# official one, or where no registry can be reached a stand-in of Debian's package. It writes the
# image's name to .cache/postgres-image, and prints it.
set -euo pipefail
cd "$(dirname "$0")/.."

OFFICIAL=postgres:17
# Its own name, as the stand-in for Python has one.
STAND_IN=quartermaster-postgres:17
PYTHON_STAND_IN=quartermaster-base:3.13
PULL_LIMIT_S=300
LOG=.cache/postgres-image.log

say() { echo "postgres-image: $*" >&2; }

cannot() {
    say "$*"
    exit 1
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
    local limit=()
    if command -v timeout >/dev/null; then limit=(timeout "$PULL_LIMIT_S"); fi
    ${limit[@]+"${limit[@]}"} docker pull --quiet "$1" >>"$LOG" 2>&1
}

# The build takes a minute, and a second when the image is there. It needs the mirror of this machine's
# own packages, which the stand-in for Python knows.
build_stand_in() {
    image_exists "$STAND_IN" || say "$OFFICIAL can't be pulled: making a stand-in from Debian 13's package (about a minute) ..."
    if ! docker build --build-arg BASE="$PYTHON_STAND_IN" --tag "$STAND_IN" deploy/postgres >>"$LOG" 2>&1; then
        tail -n 15 "$LOG" >&2
        cannot "the stand-in can't be built; the whole output is in $LOG"
    fi
}

mkdir -p .cache
: >"$LOG"
image=${POSTGRES_IMAGE:-$OFFICIAL}
if ! image_exists "$image"; then
    if [ -n "${POSTGRES_IMAGE:-}" ]; then
        pull "$image" || cannot "POSTGRES_IMAGE=$image is not here and can't be pulled."
    elif image_exists "$STAND_IN" || ! pull "$OFFICIAL"; then
        image_exists "$PYTHON_STAND_IN" || cannot "the image $OFFICIAL can't be pulled: $(tail -n 1 "$LOG")"
        build_stand_in
        image=$STAND_IN
    fi
fi
if [ -z "${POSTGRES_IMAGE:-}" ]; then echo "$image" >.cache/postgres-image; fi
echo "$image"
