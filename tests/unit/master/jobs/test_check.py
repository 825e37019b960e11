"""A look at a job: what of its options goes to the master."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from master.jobs.look import Checked, look
from queue_manager.job import loading
from queue_manager.wire.records import GroupLimit, RunOptions


def checked(folder: Path, options: str) -> Checked:
    (folder / "trial.py").write_text(
        "from queue_manager import Limit, Options\n"
        f"OPTIONS = Options({options})\n"
        "def work(n): return n\n"
    )
    found = look(folder, "trial", None)
    return msgspec.json.decode(msgspec.json.encode(found), type=Checked)


def test_the_options_that_the_master_acts_on_are_told(tmp_path: Path) -> None:
    found = checked(
        tmp_path,
        "attempts=7, losses=8, timeout_s=9.5, per_group=Limit(2, 0.5), needs={'ssd', 'gpu'}",
    )
    assert found == Checked("", RunOptions(7, 8, 9.5, GroupLimit(2, 0.5), ["gpu", "ssd"]))


def test_a_look_does_not_ask_for_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master reads it by itself."""
    monkeypatch.setattr(loading, "job_files", None)
    assert checked(tmp_path, "").error == ""


def test_that_a_job_has_a_finish_is_told(tmp_path: Path) -> None:
    (tmp_path / "closes.py").write_text("def work(n): ...\ndef finish(results): ...\n")
    assert look(tmp_path, "closes", None).options == RunOptions(finish=True)


def test_options_that_are_left_out_are_the_promised_ones(tmp_path: Path) -> None:
    assert checked(tmp_path, "") == Checked("", RunOptions())


def test_a_wrong_option_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    error = checked(tmp_path, "needs='gpu'").error
    assert error.endswith(
        "trial.py line 2: TypeError: needs is a set of tags such as {'gpu'}, not 'gpu'"
    )
