#!/usr/bin/env bash
# Makes ready what `make up` and the container tests need: a Docker engine, `docker compose`
# and a base image. Does nothing where they are there, so that it can run before every target.
#
# Where they are not, it installs them only as root on Debian; elsewhere it says what is missing
# and exits with 1. The base image it settled on is written to .cache/base for the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."

OFFICIAL=python:3.13-slim-trixie
# Under a name of its own: other projects on this machine must not take it for the official one.
STAND_IN=quartermaster-base:3.13
# How it was made: another number has it made again.
MADE=2
MADE_LABEL=quartermaster.stand-in
PLUGINS=/usr/local/lib/docker/cli-plugins
ENGINE_LOG=/var/log/quartermaster-dockerd.log
CACHE=$PWD/.cache
LOG=$CACHE/engine.log
ENGINE_WAIT_S=60
PULL_LIMIT_S=300

scratch=()
trap 'rm -rf --one-file-system ${scratch[@]+"${scratch[@]}"}' EXIT

say() { echo "engine: $*" >&2; }

cannot() {
    say "$*"
    say "\`make local\` runs the same job without containers, as plain processes in a virtual environment."
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Not `docker info`: some versions of it succeed with no engine behind them.
engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1; }
image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

debian_root() {
    [ "$(id -u)" = 0 ] && have apt-get && grep -q '^ID=debian$' /etc/os-release 2>/dev/null
}

# run WHAT COMMAND...: the command's output goes to the log and is shown only if it fails.
# Without descriptor 9: a daemon that a package starts on its own must not keep our lock.
run() {
    local what=$1
    shift
    if ! "$@" </dev/null >>"$LOG" 2>&1 9>&-; then
        tail -n 15 "$LOG" >&2
        cannot "$what failed; the whole output is in ${LOG#"$PWD"/}"
    fi
}

apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    run "apt-get update" apt-get -q update
    apt_updated=yes
}

apt_install() {
    apt_update
    run "apt-get install $*" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}

# The mirror that this machine's own packages come from, so that nothing else has to be reachable.
debian_mirror() {
    local codename uri
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016  # apt-get expands these, not the shell
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        "Codename: $codename" 'Component: main' | head -n 1)
    case $uri in
        mirror+file:*) uri=$(awk '!/^#/ && NF {print $1; exit}' "/${uri#mirror+file:*/}") ;;
    esac
    echo "${uri%/}"
}

# ---- the engine

# A machine that was restored from a snapshot, or whose /run is on disk, keeps pid files of
# processes that are gone; dockerd refuses to start when another process has that number now.
drop_stale_pid() {
    local file=$1 name=$2 pid
    [ -r "$file" ] || return 0
    pid=$(cat "$file")
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || rm -f "$file"
}

mount_cgroups() {
    grep -qE '^[^ ]+ [^ ]+ cgroup2? ' /proc/self/mounts && return
    have cgroupfs-mount || apt_install cgroupfs-mount
    run cgroupfs-mount cgroupfs-mount
}

launch_engine() {
    if [ -d /run/systemd/system ]; then
        run "systemctl start docker" systemctl start docker
        return
    fi
    mount_cgroups
    drop_stale_pid /var/run/docker.pid dockerd
    drop_stale_pid /var/run/docker/containerd/containerd.pid containerd
    # A session of its own and no descriptor of ours: whoever reads our output, or a lock that
    # we hold, must not wait for a daemon that stays.
    setsid dockerd </dev/null >>"$ENGINE_LOG" 2>&1 3>&- 4>&- 9>&- &
}

start_engine() {
    local reason
    [ -z "${DOCKER_HOST:-}" ] || cannot "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST."
    if ! have dockerd; then
        debian_root || cannot "there is no Docker engine, and only as root on Debian can one be installed for you: see Docker's documentation."
        say "installing Docker from Debian ..."
        apt_install docker.io iptables ca-certificates
    elif ! debian_root; then
        reason=$(docker version 2>&1 >/dev/null | head -n 1) || true
        cannot "Docker is installed but its engine does not answer (${reason:-no docker command}). Start it, or join its group."
    fi
    # Since Debian 13 the command is a package by itself.
    have docker || apt_install docker-cli
    engine_answers && return

    say "starting the Docker engine ..."
    launch_engine
    local deadline=$((SECONDS + ENGINE_WAIT_S))
    until engine_answers; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 5 "$ENGINE_LOG" >&2 || true
            cannot "the Docker engine did not answer within $ENGINE_WAIT_S s; its output is in $ENGINE_LOG"
        fi
        sleep 0.2
    done
}

# ---- docker compose

# Debian 13 has both plugins. They need nothing newer than Debian 12's libc, so the two files are
# taken out of its packages, through package lists of their own: the system's stay as they are.
install_compose() {
    debian_root || cannot "\`docker compose\` (version 2 or later) is missing: see Docker's documentation."
    say "installing docker compose from Debian 13 ..."
    apt_update
    local dir mirror
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || cannot "found no Debian mirror in the sources of apt."
    dir=$(mktemp -d)
    scratch+=("$dir")
    mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/tree"
    # _apt, who downloads, must be able to enter.
    chmod 755 "$dir"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$dir/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir" -o "Dir::Cache::Archives=$dir/archives"
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
    run "reading Debian 13's package list" "${apt[@]}" update
    run "downloading docker compose" env -C "$dir" "${apt[@]}" download docker-compose docker-buildx
    local deb
    for deb in "$dir"/*.deb; do
        run "unpacking ${deb##*/}" dpkg -x "$deb" "$dir/tree"
    done
    mkdir -p "$PLUGINS"
    install -m 755 "$dir"/tree/usr/libexec/docker/cli-plugins/docker-* "$PLUGINS/"
    compose_answers || cannot "docker compose is in $PLUGINS but does not run: $(docker compose version 2>&1 | head -n 1)"
}

# ---- the base image

pull() {
    local limit=()
    # The engine gives up on an unreachable registry within seconds by itself; this is for one
    # that answers and then stalls.
    if have timeout; then limit=(timeout "$PULL_LIMIT_S"); fi
    ${limit[@]+"${limit[@]}"} docker pull --quiet "$1" >>"$LOG" 2>&1
}

# What the official image is, without a registry: Debian 13 with its Python 3.13.
build_stand_in() {
    say "$OFFICIAL cannot be pulled: making a stand-in from Debian 13's own Python (about a minute) ..."
    have debootstrap || apt_install debootstrap
    apt_update
    local mirror dir
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || cannot "found no Debian mirror in the sources of apt."
    # /tmp is often mounted without devices or programs, which debootstrap needs.
    dir=$(mktemp -d -p /var/tmp quartermaster-base.XXXXXX)
    scratch+=("$dir")
    run debootstrap debootstrap --variant=minbase \
        --include=python3,python3-pip,python3-venv,ca-certificates trixie "$dir" "$mirror"
    ln -s ../../bin/python3 "$dir/usr/local/bin/python"
    ln -s ../../bin/python3 "$dir/usr/local/bin/python3"
    rm -f "$dir"/usr/lib/python3*/EXTERNALLY-MANAGED
    # Certificates of this machine: it may sit behind a proxy that has its own.
    local bundle=/etc/ssl/certs/ca-certificates.crt
    if [ -r "$bundle" ]; then cp "$bundle" "$dir$bundle"; fi
    rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*_* "$dir"/var/log/*.log
    run "docker import" import_tree "$dir"
    say "make uses it by itself; for \`docker compose build\` by hand: export BASE=$STAND_IN"
}

import_tree() {
    tar -C "$1" -c . |
        docker import --change 'CMD ["python3"]' --change "LABEL $MADE_LABEL=$MADE" - "$STAND_IN"
}

# One that an earlier release made has the machine's pip settings in it, passwords included.
stand_in_is_good() {
    local made
    made=$(docker image inspect --format "{{index .Config.Labels \"$MADE_LABEL\"}}" "$STAND_IN" 2>/dev/null) &&
        [ "$made" = "$MADE" ]
}

# pip's settings of this machine, for builds: scripts/build-settings.sh hands them over as a secret.
# Without the path of its certificates, which need not exist in an image.
keep_pip_settings() {
    local from=${PIP_CONFIG_FILE:-/etc/pip.conf}
    rm -f "$CACHE/pip.conf"
    [ -f "$from" ] && [ -r "$from" ] || return 0
    (umask 077 && sed '/^ *cert *[=:]/d' "$from" >"$CACHE/pip.conf")
}

choose_base() {
    if [ -n "${BASE:-}" ]; then
        image_exists "$BASE" || pull "$BASE" || cannot "the base image BASE=$BASE is neither here nor can it be pulled."
        return
    fi
    local base=$OFFICIAL
    if ! image_exists "$OFFICIAL"; then
        if stand_in_is_good; then
            base=$STAND_IN
        else
            say "pulling $OFFICIAL ..."
            if ! pull "$OFFICIAL"; then
                debian_root || cannot "the base image $OFFICIAL cannot be pulled: $(tail -n 1 "$LOG")"
                build_stand_in
                base=$STAND_IN
            fi
        fi
    fi
    echo "$base" >"$CACHE/base"
}

main() {
    mkdir -p "$CACHE"
    : >"$LOG"
    engine_answers || start_engine
    compose_answers || install_compose
    choose_base
    keep_pip_settings
}

# One at a time: two clones beside each other share the machine's engine.
if have flock && [ "$(id -u)" = 0 ] && [ -d /var/lock ]; then
    exec 9>/var/lock/quartermaster-engine
    if ! flock --nonblock 9; then
        say "waiting for another make that prepares the engine ..."
        flock 9
    fi
fi
main
