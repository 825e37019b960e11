#!/usr/bin/env bash
# Writes the lock files anew from the ranges in pyproject.toml, for Python 3.11 and later:
# requirements.lock (what both programs need), jobs/images.lock (what the crawler and the mail need too), jobs/logs.lock,
# requirements-dev.lock (everything), and what benchmarks need: bench/crawling/requirements.txt (another
# crawler), bench/scale/requirements.txt (what draws a chart) and bench/peers/locks (other queues). And
# tests/django/requirements.txt (Django, for the tests of its backend). A lock
# has the hashes of each package's files, so pip and uv install no other files.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/uv-settings.sh
. scripts/uv-settings.sh
use_pip_settings .venv/bin/python

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT

lock() {
    local from=$1 out=$2 python
    shift 2
    python=$(sed -n 's/^# Needs Python \([0-9.]*\)\.$/\1/p' "$from")
    echo "# Made by \`make lock\` from $from: do not edit." >"$fresh"
    # uv would keep the versions of an --output-file, so the script does not use one.
    .venv/bin/uv pip compile --quiet --universal --python-version "${python:-3.11}" --no-header --generate-hashes \
        --no-emit-package quartermaster-queue --annotation-style line "$@" "$from" >>"$fresh"
    # A lock that is as before keeps its time: scripts/venv.sh makes .venv anew for a newer one.
    cmp --quiet "$fresh" "$out" || cat "$fresh" >"$out"
}

lock pyproject.toml requirements.lock --extra environments --extra web --extra postgres
lock pyproject.toml jobs/images.lock --extra environments --extra images --extra mail --constraint requirements.lock
lock pyproject.toml jobs/logs.lock --extra environments --extra logs --constraint requirements.lock --constraint jobs/images.lock
lock pyproject.toml requirements-dev.lock --extra dev --constraint jobs/images.lock --constraint jobs/logs.lock
lock bench/crawling/requirements.in bench/crawling/requirements.txt
lock bench/scale/requirements.in bench/scale/requirements.txt
lock tests/django/requirements.in tests/django/requirements.txt
for peer in bench/peers/locks/*.in; do
    lock "$peer" "${peer%.in}.txt"
done
