# Sourced by what asks the master that `docker compose` runs here.
# shellcheck shell=bash

# need_master WHO HOW: where no master runs, one line and exit code 1. HOW: what starts one.
need_master() {
    local id state=
    id=$(docker compose ps --all --quiet master 2>/dev/null | head -n 1) || true
    [ -z "$id" ] || state=$(docker inspect --format '{{.State.Status}}' "$id" 2>/dev/null) || true
    case $state in
        running) return ;;
        restarting) echo "$1: the master ends as soon as it has started: docker compose logs master" >&2 ;;
        *) echo "$1: no master is running here: $2" >&2 ;;
    esac
    exit 1
}
