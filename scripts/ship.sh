#!/usr/bin/env bash
# ship.sh, with HOSTS="b c": brings the worker's image and the compose file to hosts that have no
# registry in common: docker save, ssh, docker load. SSH=... takes another command than ssh;
# SHIP_FOLDER=... another folder there than `quartermaster` in the user's home.
set -euo pipefail
cd "$(dirname "$0")/.."

SSH=${SSH:-ssh}
FOLDER=${SHIP_FOLDER:-quartermaster}

if [ -z "${HOSTS:-}" ]; then
    echo 'ship: which hosts? make ship HOSTS="b c"' >&2
    exit 2
fi
# shellcheck source=scripts/build-settings.sh
. scripts/build-settings.sh

image=${IMAGES:-quartermaster}-worker:${IMAGES_TAG:-latest}
docker image inspect "$image" >/dev/null 2>&1 || docker compose build worker

for host in $HOSTS; do
    echo "shipping $image to $host ..."
    # shellcheck disable=SC2086  # SSH may be several words
    docker save "$image" | gzip -1 | $SSH "$host" "gzip -d | docker load"
    # A folder of jobs that is there and empty: they come from the master.
    # shellcheck disable=SC2086
    $SSH "$host" "mkdir -p $FOLDER/jobs && cat >$FOLDER/docker-compose.yml" <docker-compose.yml
done
echo "There, in the folder $FOLDER, run what \`make join\` prints."
