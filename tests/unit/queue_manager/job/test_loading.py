"""Loading jobs: neighbours, versions, and errors in one line."""

import ast
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Options
from queue_manager.errors import BadJobError, UnknownJobError
from queue_manager.job import loading
from queue_manager.job.loading import UNASKED, job_names, job_version, load_job

Write = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("same_modules_afterwards")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    folder = tmp_path / "jobs"
    folder.mkdir()

    def write(**sources: str) -> Path:
        for name, source in sources.items():
            path = folder / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
        return folder

    return write


WORK = "def work(n): return n\n"


def test_a_whole_job_is_loaded(write: Write) -> None:
    source = (
        "from queue_manager import Options\nOPTIONS = Options(attempts=7)\n"
        "def tasks(): yield 1\ndef setup(): pass\ndef collect(n, r): pass\n"
        "async def work(n): return n\n"
    )
    job = load_job("whole", write(whole=source))
    assert (job.name, job.options.attempts) == ("whole", 7)
    assert None not in (job.tasks, job.setup, job.collect)


def test_a_job_needs_only_work(write: Write) -> None:
    job = load_job("small", write(small=WORK))
    assert job.work(5) == 5
    assert (job.tasks, job.setup, job.collect, job.options) == (None, None, None, Options())


@pytest.mark.parametrize(
    "line",
    ["from helper import x", "from jobs.helper import x", "from .helper import x",
     "from jobs import helper; x = helper.x", "import helper; x = helper.x"],
)  # fmt: skip
def test_a_job_imports_its_neighbours(write: Write, line: str) -> None:
    folder = write(helper="x = 42\n", user=f"{line}\ndef work(n): return x\n")
    assert load_job("user", folder).work(0) == 42


def test_a_job_in_a_folder_of_another_name_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("x = 43\n")
    (tmp_path / "user.py").write_text("from jobs.helper import x\ndef work(n): return x\n")
    assert load_job("user", tmp_path).work(0) == 43


def test_a_second_folder_takes_the_place_of_the_first(write: Write, tmp_path: Path) -> None:
    user = "import helper\ndef work(n): return helper.x\n"
    first = write(helper="x = 1\n", user=user)
    second = tmp_path / "others"
    second.mkdir()
    (second / "helper.py").write_text("x = 2\n")
    (second / "user.py").write_text(user)
    assert [load_job("user", folder).work(0) for folder in (first, second)] == [1, 2]


def test_a_changed_job_is_read_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for number in (1, 2):
        folder = write(job=f"def work(n): return {number}\n")
        os.utime(folder / "job.py", (1, 1))  # as if in the same second: a .pyc would be stale
        assert load_job("job", folder).work(0) == number


def test_a_job_with_the_name_of_a_standard_module_takes_nobodys_place(write: Write) -> None:
    folder = write(wave=WORK, user="import wave\ndef work(n): return wave.__file__\n")
    sys.modules.pop("wave", None)
    load_job("wave", folder)
    assert not load_job("user", folder).work(0).startswith(str(folder))


def test_an_unknown_job_is_one_line_that_lists_the_right_ones(write: Write) -> None:
    folder = write(square=WORK, images=WORK, helper="x = 1\n", _hidden=WORK)
    with pytest.raises(UnknownJobError) as caught:
        load_job("x", folder)
    assert str(caught.value) == ("no job 'x': jobs/ has images, square; put yours at jobs/x.py")


def test_a_missing_folder_is_an_unknown_job(tmp_path: Path) -> None:
    with pytest.raises(UnknownJobError, match="is empty or missing"):
        load_job("x", tmp_path / "none")
    assert job_names(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "a.b", "my-job", "/etc/passwd", "a\0"])
def test_a_name_that_is_no_identifier_is_refused(write: Write, name: str) -> None:
    write(square=WORK).joinpath("..", "evil.py").write_text(WORK)
    with pytest.raises(UnknownJobError, match="is no job's name"):
        load_job(name, write())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("\n\ndef work(:\n", "jobs/bad.py line 3: SyntaxError: "),
        ("x = 1\n1 / 0\n", "jobs/bad.py line 2: ZeroDivisionError: division by zero"),
        ("import nothing_there\n", "jobs/bad.py line 1: ModuleNotFoundError: No module named"),
        ("raise ValueError('two\\nlines')\n", "jobs/bad.py line 1: ValueError: two lines"),
        ("class A(Exception):\n    __str__ = None\nraise A\n", "jobs/bad.py line 3: A: (its text"),
        ("import sys\nsys.exit(3)\n", "jobs/bad.py line 2: SystemExit: 3"),
        ("import broken\n", "jobs/broken.py line 2: NameError: "),
        ("import unparsed\n", "jobs/unparsed.py line 1: SyntaxError: "),
        ("\0", "jobs/bad.py"),
        ("x = 1\n", "jobs/bad.py has no work"),
        ("work = 5\n", "jobs/bad.py: work is not a function but 5"),
        (f"{WORK}tasks = [1]\n", "jobs/bad.py: tasks is not a function"),
        (f"{WORK}OPTIONS = {{'attempts': 1}}\n", "jobs/bad.py: OPTIONS is an Options"),
        ("from queue_manager import Options\nOPTIONS = Options(attempts=0)\n",
         "jobs/bad.py line 2: ValueError: attempts is 1 or more"),
    ],
)  # fmt: skip
def test_a_bad_job_is_one_line_with_file_and_line(write: Write, source: str, says: str) -> None:
    folder = write(bad=source, broken="\nmissing\n", unparsed="def (\n")
    with pytest.raises(BadJobError) as caught:
        load_job("bad", folder)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_job_loads_after_it_was_mended(write: Write) -> None:
    with pytest.raises(BadJobError):
        load_job("job", write(job="1 / 0\n"))
    assert load_job("job", write(job=WORK)).work(1) == 1


def test_the_version_follows_the_files_that_are_imported(write: Write) -> None:
    folder = write(
        job="import os, a\n" + WORK, a="from jobs.b import x\n", b="from . import c\nx = 1\n",
        c="import job\n", other="x = 1\n", pack__in____init__="", pack__in__d="x = 1\n",
    )  # fmt: skip
    versions = [job_version("job", folder)]
    for changed in ("job", "a", "b", "c"):
        path = folder / f"{changed}.py"
        path.write_text(path.read_text() + "# changed\n")
        versions.append(job_version("job", folder))
    assert len(set(versions)) == 5
    write(other="x = 2\n")
    assert job_version("job", folder) == versions[-1]
    assert load_job("other", write(other=WORK)).version != versions[-1]


def test_a_version_that_nobody_asks_for_is_not_looked_for(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To parse all files of a job takes as long as to import it."""
    monkeypatch.setattr(loading, "job_files", None)
    assert load_job("small", write(small=WORK), UNASKED).version == UNASKED


@pytest.mark.parametrize(
    "head", ["def f():", "class C:", "if 1:", "if 1: pass\n else:", "for x in ():", "with f():",
    "try:\n  f()\n except E:", "try: pass\n finally:", "match x:\n  case 1:"],
)  # fmt: skip
def test_the_version_follows_imports_wherever_they_stand(write: Write, head: str) -> None:
    folder = write(job=f"def g():\n {head}\n   import a\n{WORK}", a="x = 1\n")
    before = job_version("job", folder)
    write(a="x = 2\n")
    assert job_version("job", folder) != before


def test_a_version_parses_only_what_has_changed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for every second, by the event loop of a worker that feeds its slots."""
    folder = write(job="import unlike_any_other\n" + WORK, unlike_any_other="x = 1\n")
    parsed: list[bytes] = []
    parse = ast.parse

    def parsing(source: bytes, *more: Any, **options: Any) -> Any:
        parsed.append(source)
        return parse(source, *more, **options)

    monkeypatch.setattr(ast, "parse", parsing)
    first = job_version("job", folder)
    before = len(parsed)
    assert job_version("job", folder) == first
    assert len(parsed) == before
    write(unlike_any_other="x = 234\n")
    assert job_version("job", folder) != first
    assert parsed[before:] == [b"x = 234\n"]


def test_the_version_follows_files_in_packages(write: Write) -> None:
    folder = write(job="from pack.d import x\n" + WORK, pack__in__d="from .e import x\n")
    write(pack__in__e="x = 1\n")
    before = job_version("job", folder)
    write(pack__in__e="x = 2\n")
    assert job_version("job", folder) != before


def test_a_link_to_nothing_is_said_to_be_one(write: Write) -> None:
    folder = write(small=WORK)
    (folder / "dangling.py").symlink_to("/nowhere/dangling.py")
    says = "no job 'dangling': jobs/dangling.py is a link to /nowhere/dangling.py, which is not"
    with pytest.raises(UnknownJobError, match=says):
        load_job("dangling", folder)
    assert job_names(folder) == ["small"]


def test_a_link_to_itself_a_folder_and_a_missing_ending_are_said_to_be_that(write: Write) -> None:
    folder = write(small=WORK)
    (folder / "ring.py").symlink_to("ring.py")
    (folder / "crate.py").mkdir()
    (folder / "bare").write_text(WORK)
    os.mkfifo(folder / "pipe.py")
    (folder / "my-job.py").write_text(WORK)
    for name, says in {
        "ring": "no job 'ring': jobs/ring.py: Too many levels of symbolic links",
        "crate": "no job 'crate': jobs/crate.py is a folder: a job is one file",
        "bare": "no job 'bare': jobs/bare lacks its ending: rename it to bare.py",
        "pipe": "no job 'pipe': jobs/pipe.py is no file",
        "my-job": "letters, digits and _: rename it to my_job.py",
        "small.py": "letters, digits and _; did you mean small?",
        "jobs/small.py": "letters, digits and _; did you mean small?",
        "other": "no job 'other': jobs/ has small; put yours at jobs/other.py",
    }.items():
        with pytest.raises(UnknownJobError) as caught:
            load_job(name, folder)
        assert says in str(caught.value)
    assert job_names(folder) == ["small"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b'x = "\xff"\n' + WORK.encode(), "jobs/odd.py"),
        (b"x = 1\0\n", "jobs/odd.py"),
        (b"def work(n):\n\treturn 1\n        return 2\n", "jobs/odd.py line 3: TabError: "),
    ],
)
def test_a_source_that_is_no_python_is_one_line(write: Write, source: bytes, says: str) -> None:
    folder = write(small=WORK)
    (folder / "odd.py").write_bytes(source)
    with pytest.raises(BadJobError) as caught:
        load_job("odd", folder)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
