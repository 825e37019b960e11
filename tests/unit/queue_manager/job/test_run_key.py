"""The key that a job makes of a run's arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queue_manager.errors import ArgumentError, BadJobError
from queue_manager.job.loading import load_job
from queue_manager.job.run_key import key_of_run, run_key_trouble

JOB = "def tasks(day: str = 'monday', dry: bool = False): yield 1\ndef work(n): return n\n"


def key(folder: Path, code: str, **given: Any) -> str:
    (folder / "letters.py").write_text(JOB + code)
    return key_of_run(load_job("letters", folder), given)


def test_a_key_has_the_name_of_its_job_before_it(tmp_path: Path) -> None:
    code = "def run_key(day, dry): return None if dry else f'of {day}'"
    assert key(tmp_path, code, day="friday") == "letters:of friday"
    assert key(tmp_path, code) == "letters:of monday"


def test_arguments_that_do_not_go_together_are_refused_in_the_jobs_own_words(
    tmp_path: Path,
) -> None:
    code = "def run_key(day, dry):\n    if dry: raise ValueError('dry= has no\\nday=')"
    with pytest.raises(ArgumentError, match=r"^dry= has no day=$"):
        key(tmp_path, code, dry=True)


@pytest.mark.parametrize("code", ["", "def run_key(day): return None", "def run_key(): return ''"])
def test_a_run_may_have_no_key(tmp_path: Path, code: str) -> None:
    assert key(tmp_path, code) == ""


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def run_key(day): return 7", "letters.run_key() returns a text or None, not 7"),
        ("def run_key(): return '\\udc80'", r"letters.run_key() returns '\udc80', which is no Uni"),
        ("def run_key(day): return day.x", "letters.run_key(): AttributeError: 'str' object has"),
        ("def run_key(night): return ''", "run_key() takes 'night', which tasks() does not have"),
        ("async def run_key(): return ''", "run_key() is a plain function, neither async nor"),
        ("def run_key(*given): return ''", "run_key() takes 'given' not by its name alone"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, code: str, line: str) -> None:
    with pytest.raises(BadJobError) as error:
        key(tmp_path, code)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_job_without_inputs_of_its_own_has_no_arguments_for_it() -> None:
    assert run_key_trouble(lambda: "x", None) == ""
    assert run_key_trouble(lambda day: day, None) == (
        "run_key() takes 'day', which tasks() does not have"
    )
