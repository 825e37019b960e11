"""Masters on three hosts fail at random, `make takeovers` in short: one fault of each kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import REPO, clean_environment
from tests.postgres_server import MissingServerError, programs

pytestmark = [pytest.mark.alone, pytest.mark.timeout(240)]

SLACK_S = 2.0
"""For a busy machine. What is measured on a quiet one is in docs/high-availability.md."""


def test_masters_fail_in_all_ways_and_each_task_is_done_once(tmp_path: Path) -> None:
    if os.environ.get("CI") != "true":
        if os.geteuid() != 0:
            pytest.skip("only root can make hosts out of network namespaces")
        try:
            programs()
        except MissingServerError as error:
            pytest.skip(str(error))
    words = ["--faults", "6", "--tasks", "1500", "--slack", str(SLACK_S), "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.takeovers", *words],
        cwd=REPO,
        env=clean_environment({"PYTHONPATH": str(REPO)}),
        capture_output=True,
        text=True,
        timeout=220,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All promises are kept." in done.stdout
    assert "1,500 results" in done.stdout
