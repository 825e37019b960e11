"""The worker of `qm run`: when it is started before all else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[4]
PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(REPO)!r})
from master.processes.local_worker import LocalWorker
os._exit(LocalWorker.start() is not None)
"""


@pytest.mark.parametrize(("closed", "starts"), [("", 1), ("<&-", 0), (">&-", 0), ("2>&-", 0)])
def test_a_pipe_to_the_worker_never_gets_the_number_of_a_standard_stream(
    closed: str, starts: int, tmp_path: Path
) -> None:
    """What is printed later would go to the worker."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ended = subprocess.run(["sh", "-c", f"exec {sys.executable} {program} {closed}"], check=False)
    assert ended.returncode == starts
