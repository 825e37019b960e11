# Scripts that need the master that `docker compose` runs here source this file.
# shellcheck shell=bash

# need_master WHO HOW: exits with 1 and one line where no master runs. HOW is a command that starts one.
need_master() {
    local id state=
    id=$(docker compose ps --all --quiet master 2>/dev/null | head -n 1) || true
    [ -z "$id" ] || state=$(docker inspect --format '{{.State.Status}}' "$id" 2>/dev/null) || true
    case $state in
        running) return ;;
        restarting) echo "$1: the master ends as soon as it has started: docker compose logs master" >&2 ;;

        *) echo "$1: no master is running in containers here: $2" >&2 ;;
    esac
    exit 1
}
