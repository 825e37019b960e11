"""`qm run` of a job that is not there: what it says before it starts anything."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from master.cli.run_local import run_alone
from queue_manager.errors import UnknownJobError
from queue_manager.settings import load_settings


def test_an_unknown_job_is_one_line_and_starts_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log said it as well, twice: of its JOB, and that the master serves without it."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "other.py").write_text("def work(n): ...\n")
    data = tmp_path / "data"
    settings = load_settings(
        {"MASTER_DATA": str(data), "JOBS_FOLDER": str(tmp_path / "jobs"), "QUEUE_PORT": "0"}
    )
    caplog.set_level(logging.INFO)
    said = r"^no job 'nosuch': jobs/ has other; put yours at jobs/nosuch\.py$"
    with pytest.raises(UnknownJobError, match=said):
        asyncio.run(run_alone(settings, b"key", "nosuch", [], None))
    assert not caplog.records
    assert not data.exists()
