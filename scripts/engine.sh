#!/usr/bin/env bash
# Prepares what `make up` and the container tests need: a Docker engine, `docker compose` and a base
# image. The script does nothing where they are there already, so every target can run it.
#
# It installs what is missing only as root on Debian; elsewhere it prints what is missing and exits
# with 1. It writes the name of the base image to .cache/base.
set -euo pipefail
cd "$(dirname "$0")/.."

OFFICIAL=python:3.13-slim-trixie
# The stand-in has its own name, so that no other project on this machine takes it for the official
# image.
STAND_IN=quartermaster-base:3.13
# The way the stand-in is made. The script makes the stand-in anew when this number changes.
MADE=3
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

# `docker info` would not do: some versions of it succeed without an engine.
engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1; }
image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

debian_root() {
    [ "$(id -u)" = 0 ] && have apt-get && grep -q '^ID=debian$' /etc/os-release 2>/dev/null
}

# run WHAT COMMAND...: writes the command's output to the log, and shows it only if the command fails.
# The command does not get descriptor 9, because a daemon that a package starts must not keep our lock.
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

# Prints the mirror of this machine's own packages, so that no other host has to be reachable.
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

# A machine that was restored from a snapshot, or has /run on disk, keeps pid files of processes that
# are gone. dockerd refuses to start when another process has that number now.
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
    # dockerd gets a session of its own and none of our descriptors, because it stays: otherwise
    # whoever reads our output, or waits for our lock, would wait for dockerd.
    setsid dockerd </dev/null >>"$ENGINE_LOG" 2>&1 3>&- 4>&- 9>&- &
}

start_engine() {
    local reason
    [ -z "${DOCKER_HOST:-}" ] || cannot "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST."
    if ! have dockerd; then
        debian_root || cannot "this machine has no Docker engine: install one (make does it for root on Debian only)."
        say "installing Docker from Debian ..."
        apt_install docker.io iptables ca-certificates
    elif ! debian_root; then
        reason=$(docker version 2>&1 >/dev/null | head -n 1) || true
        cannot "Docker is installed but its engine does not answer (${reason:-no docker command}): start it, or join its group."
    fi
    # Since Debian 13 the `docker` command has a package of its own.
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

# Debian 13 has both plugins, and they run with the libc of Debian 12. So the script takes the two
# files out of Debian 13's packages. It uses package lists of its own and leaves the system's alone.
install_compose() {
    debian_root || cannot "\`docker compose\` (version 2 or later) is missing: install it (make does it for root on Debian only)."
    say "installing docker compose from Debian 13 ..."
    apt_update
    local dir mirror
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || cannot "the sources of apt name no Debian mirror."
    dir=$(mktemp -d)
    scratch+=("$dir")
    mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/tree"
    # apt downloads as the user _apt, who must be able to enter this folder.
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
    # The engine gives up on an unreachable registry within seconds. This limit is for a registry that
    # answers and then stalls.
    if have timeout; then limit=(timeout "$PULL_LIMIT_S"); fi
    ${limit[@]+"${limit[@]}"} docker pull --quiet "$1" >>"$LOG" 2>&1
}

# Makes what the official image is, without a registry: Debian 13 with its Python 3.13.
build_stand_in() {
    say "$OFFICIAL can't be pulled: making a stand-in from Debian 13's own Python (about a minute) ..."
    have debootstrap || apt_install debootstrap
    apt_update
    local mirror dir
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || cannot "the sources of apt name no Debian mirror."
    # debootstrap needs devices and programs, and /tmp is often mounted without them.
    dir=$(mktemp -d -p /var/tmp quartermaster-base.XXXXXX)
    scratch+=("$dir")
    run debootstrap debootstrap --variant=minbase \
        --include=python3,python3-pip,python3-venv,ca-certificates trixie "$dir" "$mirror"
    ln -s ../../bin/python3 "$dir/usr/local/bin/python"
    ln -s ../../bin/python3 "$dir/usr/local/bin/python3"
    rm -f "$dir"/usr/lib/python3*/EXTERNALLY-MANAGED
    # The official image has none, and pip can't put another version in the place of Debian's. Debian's
    # pip has a copy of its own.
    rm -rf "$dir"/usr/lib/python3/dist-packages/packaging "$dir"/usr/lib/python3/dist-packages/packaging-*
    # This machine may be behind a proxy with a certificate of its own, so the image needs the
    # machine's certificates.
    local bundle=/etc/ssl/certs/ca-certificates.crt
    if [ -r "$bundle" ]; then cp "$bundle" "$dir$bundle"; fi
    rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*_* "$dir"/var/log/*.log
    run "docker import" import_tree "$dir"
    say "make uses the stand-in; for \`docker compose build\` by hand: export BASE=$STAND_IN"
}

import_tree() {
    tar -C "$1" -c . |
        docker import --change 'CMD ["python3"]' --change "LABEL $MADE_LABEL=$MADE" - "$STAND_IN"
}

# A stand-in that an earlier release made has the machine's pip settings in it, with their passwords.
stand_in_is_good() {
    local made
    made=$(docker image inspect --format "{{index .Config.Labels \"$MADE_LABEL\"}}" "$STAND_IN" 2>/dev/null) &&
        [ "$made" = "$MADE" ]
}

# Keeps this machine's pip settings for builds, which scripts/build-settings.sh hands over as a secret.
# The copy has no path of certificates, because an image need not have that file.
keep_pip_settings() {
    local from=${PIP_CONFIG_FILE:-/etc/pip.conf}
    rm -f "$CACHE/pip.conf"
    [ -f "$from" ] && [ -r "$from" ] || return 0
    (umask 077 && sed '/^ *cert *[=:]/d' "$from" >"$CACHE/pip.conf")
}

choose_base() {
    if [ -n "${BASE:-}" ]; then
        image_exists "$BASE" || pull "$BASE" || cannot "the base image BASE=$BASE is not here and can't be pulled."
        return
    fi
    local base=$OFFICIAL
    if ! image_exists "$OFFICIAL"; then
        if stand_in_is_good; then
            base=$STAND_IN
        else
            say "pulling $OFFICIAL ..."
            if ! pull "$OFFICIAL"; then
                debian_root || cannot "the base image $OFFICIAL can't be pulled: $(tail -n 1 "$LOG")"
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

# Two clones share this machine's engine, so one script prepares it at a time.
if have flock && [ "$(id -u)" = 0 ] && [ -d /var/lock ]; then
    exec 9>/var/lock/quartermaster-engine
    if ! flock --nonblock 9; then
        say "waiting for another make, which prepares the engine ..."
        flock 9
    fi
fi
main
