"""What people are told of a job."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from queue_manager.job.arguments import named_parameters, wanted_type
from queue_manager.job.conversion import converted
from queue_manager.job.description import description_of, jobs_of
from queue_manager.job.loading import load_job
from queue_manager.wire.job_records import ArgumentInfo, JobInfo

REPO = Path(__file__).resolve().parents[4]

SIZES = '''
"""jobs/sizes.py: the sizes of files.

More of it.
"""
from queue_manager import Options
OPTIONS = Options(attempts=5, timeout_s=2.5)
def tasks(start: str, depth: int = 3, fast: bool = False):
    """Every file.

    Args:
        start: the folder
            where it begins.
        depth (int): how deep it goes: 0 is no limit.

    Yields:
        nothing: that is told.
    """
    yield start
def work(path): return 1
def collect(path, size): pass
'''


pytestmark = pytest.mark.usefixtures("same_modules_afterwards")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sizes.py").write_text(SIZES)
    (tmp_path / "broken.py").write_text("def work(:")
    (tmp_path / "terse.py").write_text(
        'import nonesuch\ndef tasks():\n    "Tasks of no kind."\ndef work(n): ...'
    )
    (tmp_path / "other.py").write_text("X = 1")
    return tmp_path


def test_jobs_are_listed_with_their_first_lines_and_no_code_runs(folder: Path) -> None:
    assert jobs_of(folder) == [
        JobInfo("broken", trouble="broken.py line 1: invalid syntax"),
        JobInfo("sizes", "the sizes of files."),
        JobInfo("terse", "Tasks of no kind."),
    ]


def test_a_job_has_its_arguments_with_types_defaults_and_descriptions(folder: Path) -> None:
    told = description_of(load_job("sizes", folder))
    assert told == JobInfo(
        "sizes",
        "the sizes of files.",
        arguments=[
            ArgumentInfo("start", "a text", None, "the folder where it begins."),
            ArgumentInfo("depth", "a whole number", "3", "how deep it goes: 0 is no limit."),
            ArgumentInfo("fast", "true or false", "False"),
        ],
        functions=["tasks", "work", "collect"],
        options=["attempts=5", "timeout_s=2.5"],
    )


def test_a_job_may_take_any_arguments_or_have_no_tasks(tmp_path: Path) -> None:
    (tmp_path / "any.py").write_text("def tasks(**more): ...\ndef work(n): ...")
    (tmp_path / "fed.py").write_text("def work(n): ...")
    assert description_of(load_job("any", tmp_path)).more
    fed = description_of(load_job("fed", tmp_path))
    assert (fed.functions, fed.arguments, fed.about) == (["work"], [], "")


def test_the_jobs_of_the_project_are_described() -> None:
    told = {job.name: job for job in jobs_of(REPO / "jobs")}
    assert {"django_tasks", "images", "shell", "square"} <= told.keys()
    assert told["shell"].about.startswith("Commands of the shell")
    shell = description_of(load_job("shell", REPO / "jobs"))
    assert [one.name for one in shell.arguments] == ["command", "inputs", "raw"]
    assert all(one.about for one in shell.arguments)


TYPED = """
import datetime, enum
from decimal import Decimal
from pathlib import Path
class Perm(enum.Flag):
    R = 1
    W = 2
def tasks(
    out: Path = Path("/tmp/x"), at: datetime.datetime = datetime.datetime(2026, 1, 2, 3, 4),
    price: Decimal = Decimal("1.50"), perm: Perm = Perm.R, both: Perm = Perm.R | Perm.W,
    head: bytes = b"hello", wait: datetime.timedelta = datetime.timedelta(seconds=90),
    sizes: dict[str, int] = {"a": 1}, flags: list[bool] = [True], text: str = "two\\nlines",
):
    yield 1
def work(n): return n
"""


def test_defaults_are_shown_as_one_can_type_them(folder: Path) -> None:
    (folder / "typed.py").write_text(TYPED)
    job = load_job("typed", folder)
    arguments = {one.name: one for one in description_of(job).arguments}
    assert {name: one.default for name, one in arguments.items()} == {
        "out": "'/tmp/x'",
        "at": "'2026-01-02T03:04:00'",
        "price": "'1.50'",
        "perm": "'R'",
        "both": "'R|W'",
        "head": "'aGVsbG8='",
        "wait": "'PT90S'",
        "sizes": '{"a": 1}',
        "flags": "[true]",
        "text": "'two\\nlines'",
    }
    for name, parameter in named_parameters(job.tasks).items():
        field = inputs_default(arguments[name].default)
        wanted = wanted_type(parameter, job.tasks)
        assert converted(field, wanted) == parameter.default, name
    assert arguments["perm"].kind == "some of R, W, with | between them"


def inputs_default(default: str | None) -> str:
    """What a form has: a text without its quotation marks."""
    assert default is not None
    return str(ast.literal_eval(default)) if default.startswith("'") else default
