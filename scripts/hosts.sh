#!/usr/bin/env bash
# Prepares what tests/hosts needs besides the Docker engine of scripts/engine.sh: root, the permission
# to make namespaces, and a few commands. As root on Debian it installs missing commands; elsewhere it
# prints what is missing and exits with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

LOG=.cache/hosts.log

cannot() {
    echo "hosts: $*" >&2
    exit 1
}

# COMMAND:PACKAGE, with the names of Debian's packages
needed=(ip:iproute2 iptables:iptables nsenter:util-linux unshare:util-linux setpriv:util-linux
    dockerd:docker.io docker-init:docker.io)

missing=()
for pair in "${needed[@]}"; do
    command -v "${pair%:*}" >/dev/null 2>&1 || missing+=("$pair")
done

install_missing() {
    apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]#*:}"
}

[ "$(id -u)" = 0 ] || cannot "the tests need root to make several Docker hosts on one machine."
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null || ! grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
        cannot "missing: ${missing[*]%:*}"
    fi
    echo "hosts: installing ${missing[*]#*:} from Debian ..." >&2
    mkdir -p .cache
    if ! install_missing </dev/null >"$LOG" 2>&1; then
        tail -n 15 "$LOG" >&2
        cannot "apt-get failed; the whole output is in $LOG"
    fi
fi
unshare --net --mount --uts --ipc --pid --fork true || cannot "root may not make namespaces here."

