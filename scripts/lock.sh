#!/usr/bin/env bash
# Writes requirements.lock (what both programs need), jobs/images.lock (what the crawler needs
# besides) and requirements-dev.lock (everything) anew from the ranges in pyproject.toml, for
# Python 3.11 and later, and bench/crawling/requirements.txt (what the crawl is compared with). Each
# package has the hashes of its files, so pip takes no other ones.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-.venv/bin/python}" -m venv "$tool"
"$tool/bin/pip" install --quiet --disable-pip-version-check uv

lock() {
    local from=$1 out=$2 fresh=$tool/lock
    shift 2
    # Without --output-file: uv keeps the versions of a file that it finds there.
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-header --generate-hashes \
        --no-emit-package quartermaster --annotation-style line "$@" "$from" >"$fresh"
    { echo "# Made by \`make lock\` from $from: do not edit."; cat "$fresh"; } >"$out"
}

lock pyproject.toml requirements.lock
lock pyproject.toml jobs/images.lock --extra images --constraint requirements.lock
lock pyproject.toml requirements-dev.lock --extra dev --constraint jobs/images.lock
lock bench/crawling/requirements.in bench/crawling/requirements.txt
