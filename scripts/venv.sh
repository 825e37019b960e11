#!/usr/bin/env bash
# Makes .venv from requirements-dev.lock with a Python 3.11 or later of this machine. pip installs uv
# from the lock, and uv installs the rest, faster than pip.
set -euo pipefail
cd "$(dirname "$0")/.."

STAMP=.venv/installed
# shellcheck source=scripts/uv-settings.sh
. scripts/uv-settings.sh

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

# Fills .venv with what the lock names. setuptools, which builds the `qm` command, is in the lock too.
install_locked() {
    local uv=(.venv/bin/uv --quiet pip) python=.venv/bin/python
    # The lines of uv alone: pip checks their hashes.
    sed -n '/^uv==/,/[^\\]$/p' requirements-dev.lock |
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r /dev/stdin
    use_pip_settings "$python"
    "${uv[@]}" sync --python "$python" --compile-bytecode --require-hashes requirements-dev.lock
    "${uv[@]}" install --python "$python" --no-deps --no-build-isolation --editable .
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

# CPython's own tests of executors, which tests/integration/test_cpython_futures.py runs against ours.
# Not every Python has them. On Debian they are a package by themselves, for the Python of that Debian.
cpython_tests() {
    local version
    version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    .venv/bin/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("test.test_concurrent_futures"))' \
        2>/dev/null && return
    if debian_root && [ ! -e "/usr/lib/python$version/test/test_concurrent_futures.py" ] \
        && [ -e "/usr/bin/python$version" ]; then
        apt_install "libpython$version-testsuite"
    fi
}

# A second library that verifies what jobs/mail.py signs: Perl's, which SpamAssassin uses. Those of
# Python are all made of the one that signs.
dkim_verifier() {
    perl -MMail::DKIM::Verifier -e 1 2>/dev/null && return
    if debian_root; then apt_install libmail-dkim-perl; fi
}

main() {
    if [ -x .venv/bin/python ] && [ "$STAMP" -nt requirements-dev.lock ] && [ "$STAMP" -nt pyproject.toml ] \
        && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    local python
    if ! python=$(find_python); then
        debian_root || { say "this machine has no Python 3.11 or later: install one, or name it with PYTHON=..."; exit 1; }
        apt_install python3 python3-venv
        python=$(find_python) || { say "this Debian has no Python 3.11 or later: name one with PYTHON=..."; exit 1; }
    fi
    if ! can_make_venvs "$python"; then
        # Debian's own Python comes without ensurepip. Debian's package does not help another Python.
        if debian_root && [ "$(dirname "$(readlink -f "$python")")" = /usr/bin ]; then
            apt_install python3-venv
        fi
        can_make_venvs "$python" || { say "$python cannot make a virtual environment: install its venv module (Debian: python3-venv)"; exit 1; }
    fi
    say "making .venv with $python ..."
    rm -rf .venv
    "$python" -m venv .venv
    install_locked
    # Slots keep no bytecode, so without this each one would compile our modules at its start. uv has
    # compiled the packages, of which scikit-learn alone would take a slot a minute.
    .venv/bin/python -m compileall -q queue_manager master worker
    cpython_tests
    dkim_verifier
    touch "$STAMP"
}

main
