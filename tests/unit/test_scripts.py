"""The scripts behind `make client`, `make join` and `make key`: what they say without a master."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
# A container of the state STATE, in which nothing can be run; none where that is empty.
DOCKER = """#!/bin/sh
case "$1 $2" in
    "compose ps") [ -z "$STATE" ] || echo 0123456789ab ;;
    inspect*) echo "$STATE" ;;
    *) exit 137 ;;
esac
"""


@pytest.mark.parametrize("script", ["client", "join", "key"])
@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("", "no master is running here: "),
        ("exited", "no master is running here: "),
        ("restarting", "the master ends as soon as it has started: docker compose logs master"),
    ],
)
def test_a_script_says_in_one_line_that_no_master_stays_up(
    tmp_path: Path, script: str, state: str, line: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": state}
    done = subprocess.run(
        [REPO / "scripts" / f"{script}.sh"], env=environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{script}: {line}")
    assert done.stderr.count("\n") == 1
