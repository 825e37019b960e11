"""When a worker looks again at a job's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import versions
from worker.versions import Versions


def test_a_new_run_gets_the_code_as_it_is_on_disk_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions.time, "monotonic", lambda: 100.0)
    file = tmp_path / "edited.py"
    file.write_text("def work(n): return n")
    found = Versions(tmp_path)
    before = found.of("edited", 1)
    file.write_text("def work(n): return -n")
    assert found.of("edited", 1) == before  # once a second is enough within a run
    after = found.of("edited", 2)
    assert after != before
    assert found.of("edited", 1) == after  # an older run does not bring the old code back


def test_a_run_that_goes_on_gets_changed_code_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(versions.time, "monotonic", lambda: now[0])
    file = tmp_path / "edited.py"
    file.write_text("def work(n): return n")
    found = Versions(tmp_path)
    before = found.of("edited", 1)
    file.write_text("def work(n): return -n")
    now[0] += versions.FRESH_S + 0.1
    assert found.of("edited", 1) != before
