#!/usr/bin/env bash
# Writes requirements.lock (what both programs need), jobs/images.lock (what the crawler needs
# besides) and requirements-dev.lock (everything) anew from the ranges in pyproject.toml, for
# Python 3.11 and later.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-.venv/bin/python}" -m venv "$tool"
"$tool/bin/pip" install --quiet --disable-pip-version-check uv

lock() {
    local out=$1 fresh=$tool/lock
    shift
    # Without --output-file: uv keeps the versions of a file that it finds there.
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-header \
        --no-emit-package quartermaster --annotation-style line "$@" pyproject.toml >"$fresh"
    { echo "# Made by \`make lock\` from pyproject.toml: do not edit."; cat "$fresh"; } >"$out"
}

lock requirements.lock
lock jobs/images.lock --extra images --constraint requirements.lock
lock requirements-dev.lock --extra dev --constraint jobs/images.lock
