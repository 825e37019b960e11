"""The worker of `qm run`: when it is started before all else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from master.processes.local_worker import LocalWorker

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


PATIENT = """
import signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print("ready", flush=True)
sys.stdin.read()
sys.exit(len(asked))
"""


def test_a_worker_is_asked_to_end_once() -> None:
    """A second signal would take the time from its tasks."""
    with subprocess.Popen(
        [sys.executable, "-c", PATIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        worker = LocalWorker(process)
        worker.leave()
        worker.leave()
        process.stdin.close()
        asyncio.run(worker.stop(asyncio.Event(), drain_s=30))
    assert process.returncode == 1
