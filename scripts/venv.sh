#!/usr/bin/env bash
# Makes .venv from requirements-dev.lock with whatever Python 3.11 or later is here.
set -euo pipefail
cd "$(dirname "$0")/.."

STAMP=.venv/installed

say() { echo "venv: $*" >&2; }
debian_root() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -q '^ID=debian$' /etc/os-release 2>/dev/null
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_make_venvs() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

find_python() {
    local python
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if new_enough "$python"; then
            command -v "$python"
            return
        fi
    done
    return 1
}

apt_install() {
    say "installing $* from Debian ..."
    mkdir -p .cache
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"; } \
        </dev/null >.cache/venv.log 2>&1; then
        tail -n 15 .cache/venv.log >&2
        say "apt-get failed; the whole output is in .cache/venv.log"
        exit 1
    fi
}

main() {
    if [ -x .venv/bin/python ] && [ "$STAMP" -nt requirements-dev.lock ] && [ "$STAMP" -nt pyproject.toml ] \
        && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    local python
    if ! python=$(find_python); then
        debian_root || { say "needs Python 3.11 or later: none was found (PYTHON=... names one)"; exit 1; }
        apt_install python3 python3-venv
        python=$(find_python) || { say "needs Python 3.11 or later: this Debian has none"; exit 1; }
    fi
    if ! can_make_venvs "$python"; then
        # Debian's own Python comes without ensurepip; for one from elsewhere its package is no help.
        if debian_root && [ "$(dirname "$(readlink -f "$python")")" = /usr/bin ]; then
            apt_install python3-venv
        fi
        can_make_venvs "$python" || { say "$python cannot make a virtual environment: install its venv module (Debian: python3-venv)"; exit 1; }
    fi
    say "making .venv with $python ..."
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
    # For the `qm` command; --no-deps, since the lock has decided on all versions.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    touch "$STAMP"
}

main
