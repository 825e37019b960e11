#!/usr/bin/env bash
# test.sh FOLDER...: runs pytest over those folders of tests that exist.
# tests/docker and tests/crawl are left out, with a line that says so, where no Docker engine can be
# had, and tests/hosts where there is none or this is not root; in CI that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# What a folder needs beside the virtual environment, made ready; fails where it cannot be had.
prepare() {
    case $1 in
        tests/docker | tests/crawl) scripts/engine.sh ;;
        tests/hosts) scripts/engine.sh && scripts/hosts.sh ;;
    esac
}

needs() {
    case $1 in
        tests/docker | tests/crawl) echo "a Docker engine" ;;
        tests/hosts) echo "a Docker engine, root and namespaces" ;;
    esac
}

left_out=()
folders=()
for folder in "$@"; do
    if ! prepare "$folder"; then
        if [ "${CI:-}" = true ]; then
            echo "test: CI=true, and $folder needs $(needs "$folder"): that is a failure." >&2
            exit 1
        fi
        left_out+=("$folder")
        continue
    fi
    if [ -n "$(needs "$folder")" ]; then
        # The test's own `docker compose` must build as `make up` does.
        # shellcheck source=scripts/build-settings.sh
        . scripts/build-settings.sh
    fi
    # A folder without any test yet: pytest would call that an error.
    if [ -n "$(find "$folder" -name 'test_*.py' -print -quit 2>/dev/null)" ]; then
        folders+=("$folder")
    else
        echo "test: no tests in $folder yet"
    fi
done

# Two processes share what measures no time; the rest (the mark `alone`, and containers) runs by
# itself behind that. What a -k selects may be in one of the two only: 5 is "no tests".
run() {
    local status=0
    # shellcheck disable=SC2086  # PYTEST_ARGS is several words on purpose
    .venv/bin/python -m pytest "$@" ${PYTEST_ARGS:-} "${folders[@]}" || status=$?
    if [ "$status" != 5 ]; then ran=yes; fi
    if [ "$status" != 0 ] && [ "$status" != 5 ]; then code=$status; fi
}

code=0
ran=
if [ ${#folders[@]} -gt 0 ]; then
    run -m "not (alone or docker or hosts)" --numprocesses 2 --dist loadfile
    run -m "alone or docker or hosts"
    if [ -z "$ran" ]; then code=5; fi
fi
for folder in ${left_out[@]+"${left_out[@]}"}; do
    echo "test: left out $folder: it needs $(needs "$folder")."
done
exit "$code"
