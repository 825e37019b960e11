#!/usr/bin/env bash
# Runs tests/django in an environment of their own (.cache/django), made from its lock: Django 6 needs
# Python 3.12, and .venv may have 3.11. The source archive of the same Django has the tests of its own
# task backends, which its wheel lacks. PYTEST_ARGS adds arguments; PYTHON names a Python.
set -euo pipefail
cd "$(dirname "$0")/.."

LOCK=tests/django/requirements.txt
FOLDER=.cache/django
# shellcheck source=scripts/uv-settings.sh
. scripts/uv-settings.sh

new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }

find_python() {
    local python
    for python in ${PYTHON:-} .venv/bin/python python3 python3.14 python3.13 python3.12 \
        "$HOME"/.pyenv/versions/3.1[2-9].*/bin/python; do
        if new_enough "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

make_environment() {
    local python archive
    python=$(find_python) || { echo "django: this machine has no Python 3.12 or later, which Django 6 needs: name one with PYTHON=..." >&2; exit 1; }
    echo "django: making $FOLDER with $python ..." >&2
    rm -rf "$FOLDER"
    "$python" -m venv "$FOLDER"
    use_pip_settings .venv/bin/python
    .venv/bin/uv --quiet pip install --python "$FOLDER/bin/python" --compile-bytecode --require-hashes -r "$LOCK"
    # The lines of Django alone: its archive, by its hash.
    sed -n '/^django==/,/[^\\]$/p' "$LOCK" >"$FOLDER/django.txt"
    "$FOLDER/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --no-binary :all: --dest "$FOLDER" -r "$FOLDER/django.txt"
    archive=$(echo "$FOLDER"/[dD]jango-*.tar.gz)
    tar -xzf "$archive" -C "$FOLDER" --strip-components=2 --wildcards '*/tests/tasks'
    cp "$LOCK" "$FOLDER/installed"
}

cmp --quiet "$LOCK" "$FOLDER/installed" || make_environment
# shellcheck disable=SC2086  # PYTEST_ARGS is several words on purpose
exec "$FOLDER/bin/python" -m pytest ${PYTEST_ARGS:-} tests/django
