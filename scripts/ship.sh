#!/usr/bin/env bash
# Copies the worker image and the compose file to the hosts of HOSTS="b c", which need no registry:
# docker save, ssh, docker load. SSH=... names another command than ssh. SHIP_FOLDER=... names another
# folder on those hosts than `quartermaster` in the user's home. PARTS="worker master database" names
# other images than the worker's.
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

images=()
for part in ${PARTS:-worker}; do
    case $part in
        worker | master)
            image=${IMAGES:-quartermaster}-$part:${IMAGES_TAG:-latest}
            docker image inspect "$image" >/dev/null 2>&1 || docker compose build "$part"
            ;;
        database) image=${POSTGRES_IMAGE:-postgres:17} ;;
        *)
            echo "ship: PARTS=\"$PARTS\": there are worker, master and database" >&2
            exit 2
            ;;
    esac
    images+=("$image")
done

for host in $HOSTS; do
    echo "shipping ${images[*]} to $host ..."
    # shellcheck disable=SC2086  # SSH may be several words
    docker save "${images[@]}" | gzip -1 | $SSH "$host" "gzip -d | docker load"
    # The compose file mounts jobs/, which stays empty here: workers get jobs from the master.
    # shellcheck disable=SC2086
    $SSH "$host" "mkdir -p $FOLDER/jobs && cat >$FOLDER/docker-compose.yml" <docker-compose.yml
done
echo "Run what \`make join\` prints in the folder $FOLDER of those hosts."

