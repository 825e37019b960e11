"""scripts/join.sh and client.sh with one and two masters, and a stand-in for `docker`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
DOCKER = r"""#!/usr/bin/env bash
case "$*" in
    "compose ps --all --quiet master") echo id ;;
    inspect*) echo running ;;
    "compose exec -T master printenv QUEUE_PORT") echo 5000 ;;
    "compose exec -T master printenv QUEUE_TLS") exit 1 ;;
    "compose port master 5000") echo "$MASTER_AT" ;;
    "compose port master2 5000") echo "$MASTER2_AT" ;;
    "compose config --services") printf 'worker\nmaster\n'; [ -z "$MASTER2_AT" ] || echo master2 ;;
    "compose exec -T master python -c"*) echo "$ACTIVE" ;;
    "compose exec -T master python - "*) echo "asked for ${*: -1}"; cat >/dev/null ;;
    *) echo "unexpected: $*" >&2; exit 3 ;;
esac
"""


@pytest.fixture
def script(tmp_path: Path) -> object:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)

    def run(name: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin:/usr/sbin:/sbin", "MASTER2_AT": ""}
        words = ["bash", str(REPO / "scripts" / name)]
        return subprocess.run(
            words, env=environment | settings, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("203.0.113.11:5000", "", "QUEUE_HOST=203.0.113.11 QUEUE_PORT=5000 WORKER_NAME="),
        ("[2001:db8::7]:5000", "", "QUEUE_HOST=2001:db8::7 QUEUE_PORT=5000 WORKER_NAME="),
        (
            "203.0.113.11:5000",
            "[2001:db8::7]:5001",
            "QUEUE_HOST=203.0.113.11:5000,[2001:db8::7]:5001 WORKER_NAME=",
        ),
    ],
)
def test_workers_elsewhere_get_all_masters(
    first: str, second: str, words: str, script: object
) -> None:
    ended = script("join.sh", MASTER_AT=first, MASTER2_AT=second)  # type: ignore[operator]
    assert ended.stdout.splitlines()[-1].startswith(words), ended


def test_a_second_master_that_nobody_reaches_is_told_with_its_variable(script: object) -> None:
    at = {"MASTER_AT": "203.0.113.11:5000", "MASTER2_AT": "127.0.0.1:5001"}
    ended = script("join.sh", **at)  # type: ignore[operator]
    assert ended.returncode == 1
    assert ended.stderr == (
        "join: the master2 is published on 127.0.0.1:5001, which other hosts can't reach:"
        " QUEUE2_PUBLISH=ADDRESS:5000 docker compose up --detach master2\n"
    )


@pytest.mark.parametrize(
    ("active", "port"), [("master", 5000), ("master2", 5001), ("", 5000), ("elsewhere", 5000)]
)
def test_a_stock_client_gets_the_address_of_the_active_one(
    active: str, port: int, script: object
) -> None:
    at = {"MASTER_AT": "127.0.0.1:5000", "MASTER2_AT": "127.0.0.1:5001"}
    ended = script("client.sh", ACTIVE=active, **at)  # type: ignore[operator]
    assert ended.stdout == f"asked for 127.0.0.1:{port}\n", ended
