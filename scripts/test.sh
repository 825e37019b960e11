#!/usr/bin/env bash
# test.sh FOLDER...: runs pytest over these folders of tests.
# Without a Docker engine the script leaves out tests/docker and tests/crawl, without root also
# tests/hosts, without Chromium tests/browser, and without Prometheus tests/metrics, and says so; pytest
# skips the tests that need a PostgreSQL server where there is none. With CI=true it fails instead.
set -euo pipefail
cd "$(dirname "$0")/.."

# prepare FOLDER: installs or starts what a folder of tests needs besides .venv; fails if it can't.
prepare() {
    case $1 in
        tests/docker) scripts/engine.sh && scripts/postgres-image.sh >/dev/null ;;
        tests/crawl) scripts/engine.sh ;;
        tests/hosts) scripts/engine.sh && scripts/postgres-image.sh >/dev/null && scripts/hosts.sh ;;
        tests/browser) scripts/browser.sh ;;
        tests/metrics) scripts/prometheus.sh ;;
    esac
}

needs() {
    case $1 in
        tests/docker | tests/crawl) echo "a Docker engine" ;;
        tests/hosts) echo "a Docker engine, root and namespaces" ;;
        tests/browser) echo "Chromium" ;;
        tests/metrics) echo "Prometheus" ;;
    esac
}

# Tests of the PostgreSQL store are in folders with others. Without a server they are skipped, each with
# this reason.
if ! scripts/postgres.sh && [ "${CI:-}" = true ]; then
    echo "test: the PostgreSQL store needs a server, and CI=true lets no test be left out." >&2
    exit 1
fi

# tests/integration runs the HAProxy of docs/high-availability.md. Without the proxy that test is skipped.
if ! scripts/haproxy.sh && [ "${CI:-}" = true ]; then
    echo "test: docs/high-availability.md needs HAProxy, and CI=true lets no test be left out." >&2
    exit 1
fi

left_out=()
folders=()
for folder in "$@"; do
    if ! prepare "$folder"; then
        if [ "${CI:-}" = true ]; then
            echo "test: $folder needs $(needs "$folder"), and CI=true lets no test be left out." >&2
            exit 1
        fi
        left_out+=("$folder")
        continue
    fi
    if [ -n "$(needs "$folder")" ]; then
        # The tests' `docker compose` must build with the same settings as `make up`.
        # shellcheck source=scripts/build-settings.sh
        . scripts/build-settings.sh
    fi
    # pytest calls a folder without tests an error.
    if [ -n "$(find "$folder" -name 'test_*.py' -print -quit 2>/dev/null)" ]; then
        folders+=("$folder")
    else
        echo "test: $folder has no tests yet"
    fi
done

# Several processes share the tests that measure no time, and one that is done takes tests of the others.
# They are twice as many as there are processors, since these tests wait for half of their time. Then
# three share the files of those in containers (PARTS of their conftest.py); each has a compose project
# of its own. Behind them come those that wait for most of their time (the mark `waits`), two files at a
# time, and the rest (the mark `alone`, hosts), one test after another. pytest's exit code 5
# means "no tests": the tests that a -k selects may all be in one of the parts.
run() {
    local status=0
    # shellcheck disable=SC2086  # PYTEST_ARGS is several words on purpose
    .venv/bin/python -m pytest "$@" ${PYTEST_ARGS:-} || status=$?
    if [ "$status" != 5 ]; then ran=yes; fi
    if [ "$status" != 0 ] && [ "$status" != 5 ]; then code=$status; fi
}

# marked WORD: the files and folders that have tests with a mark.
marked() {
    grep -rl --include='*.py' "pytest\.mark\.\($1\)" "${folders[@]}" | sed 's|/conftest\.py$||'
}

# The tests start hundreds of processes. Without compiled modules on disk each would compile ours for
# itself, half of what its start takes; slots never write them. pytest keeps its test files there too.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/python -m compileall -q queue_manager master worker

processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
share=$((processors < 4 ? 2 * processors : 8))

code=0
ran=
if [ ${#folders[@]} -gt 0 ]; then
    # All tests of the folders that need something are in containers, on hosts or in a browser.
    plain=()
    for folder in "${folders[@]}"; do
        if [ -z "$(needs "$folder")" ]; then plain+=("$folder"); fi
    done
    if [ ${#plain[@]} -gt 0 ]; then
        run -m "not (alone or waits or docker or hosts)" --numprocesses "$share" --dist worksteal "${plain[@]}"
    fi
    case " ${folders[*]} " in
        *" tests/docker "*) run -m "docker and not alone" --numprocesses 3 --dist loadfile tests/docker ;;
    esac
    # Two files at a time, each process with a browser of its own. Two tests of metrics at a time:
    # they wait for scrapes.
    case " ${folders[*]} " in
        *" tests/browser "*) run -m browser --numprocesses 2 --dist loadfile tests/browser ;;
    esac
    case " ${folders[*]} " in
        *" tests/metrics "*) run --numprocesses 2 --dist worksteal tests/metrics ;;
    esac
    # Only what has such tests: pytest takes half a minute to read all files.
    mapfile -t waits < <(marked 'waits')
    if [ ${#waits[@]} -gt 0 ]; then run -m waits --numprocesses 2 --dist loadfile "${waits[@]}"; fi
    mapfile -t alone < <(marked 'alone\|hosts')
    if [ ${#alone[@]} -gt 0 ]; then run -m "alone or hosts" "${alone[@]}"; fi
    if [ -z "$ran" ]; then code=5; fi
fi
for folder in ${left_out[@]+"${left_out[@]}"}; do
    echo "test: left out $folder, which needs $(needs "$folder")."
done
exit "$code"
