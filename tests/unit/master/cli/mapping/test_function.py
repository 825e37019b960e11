"""The function that FILE or FILE:FUNCTION names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.cli.mapping import function
from master.cli.mapping.function import Named
from queue_manager.errors import BadJobError, UnknownJobError
from queue_manager.settings import Settings
from tests.wheels import block, make_wheel, offline


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path) -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


def load_function(text: str, **settings: Any) -> Named:
    return function.load_function(text, Settings(**settings))


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_it_is_work_or_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    file = write(
        tmp_path / "a:b", "some_work.py", "def work(n): return 1\ndef other(n): return 2\n"
    )
    assert load_function(file).function(0) == 1
    del sys.modules["some_work"]
    named = load_function(f"{file}:other")
    assert (named.function(0), named.name, named.file) == (2, "other", file)


def test_what_the_file_prints_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_function(write(tmp_path, "talks_first.py", "print('hello')\ndef work(n): pass\n"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


def test_a_function_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    file = write(tmp_path, "has_others.py", "import os\ndef b(n): pass\ndef a(n): pass\n_c = 1\n")
    with pytest.raises(UnknownJobError, match=r"no function work\(input\).*; it has a, b$"):
        load_function(file)
    del sys.modules["has_others"]
    with pytest.raises(UnknownJobError, match=r"'c'; it has a, b$"):
        load_function(f"{file}:c")


def test_an_error_names_the_last_line_of_the_file_that_ran(tmp_path: Path) -> None:
    file = write(tmp_path, "breaks_late.py", "import json\n\njson.loads('')\n")
    with pytest.raises(BadJobError, match=r"breaks_late\.py line 3: JSONDecodeError: Expecting"):
        load_function(file)
    file = write(tmp_path, "no_text.py", "class A(Exception):\n    __str__ = None\nraise A\n")
    with pytest.raises(BadJobError, match=r"no_text\.py line 3: A: \(its text cannot be read\)"):
        load_function(file)


@pytest.mark.parametrize("name", ["json.py", "worker.py", "jobs.py", "click.py"])
def test_a_file_with_the_name_of_a_module_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadJobError, match="has the name of a module that is there already"):
        load_function(write(tmp_path, name, "def work(n): pass\n"))


@pytest.mark.parametrize(
    ("name", "near"),
    [("class", "file_class"), ("a-b", "a_b"), ("1", "file_1")],
)
def test_a_file_that_no_line_can_import_is_refused_with_a_name_that_fits(
    tmp_path: Path, name: str, near: str
) -> None:
    file = write(tmp_path, f"{name}.py", "def work(n): return n\n")
    with pytest.raises(BadJobError, match=rf"rename it, such as to {near}\.py$"):
        load_function(file)


def test_options_of_another_kind_are_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, "opts_dict.py", "OPTIONS = {'timeout_s': 1}\ndef work(n): pass\n")
    with pytest.raises(BadJobError, match=r"OPTIONS is an Options.*, not \{.timeout_s.: 1\}"):
        load_function(file)


# --- packages ---


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for environments, with two versions of a library and no index."""
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "wheels", "qmneeded", version)
    for name, text in offline(tmp_path / "wheels").items():
        monkeypatch.setenv(name, text)
    return tmp_path / "environments"


NEEDS = "import qmneeded\ndef work(n): return qmneeded.__version__\n"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_packages_of_the_file_are_there_when_it_is_imported(
    environments: Path, tmp_path: Path, elsewhere: bool
) -> None:
    file = write(tmp_path, "needs_some.py", block("qmneeded==1.0") + NEEDS)
    named = load_function(file, queue_environments=environments, queue_host_set=elsewhere)
    assert named.function(0) == "1.0"
    del sys.modules["qmneeded"]


def test_packages_that_only_workers_elsewhere_need_are_not_made_here(
    environments: Path, tmp_path: Path
) -> None:
    text = block("qmneeded==3.0") + "def work(n): import qmneeded\n"
    file = write(tmp_path, "needs_late.py", text)
    load_function(file, queue_environments=environments, queue_host_set=True)
    assert not environments.exists()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (block("qmneeded==3.0"), "its environment can't be made: Because there is no version"),
        (block(python=">=3.99"), r"it needs Python >=3\.99 \(requires-python\), and here is 3"),
        ("# /// script\n# dependencies = [\n# ///\n", "its block # /// script is no TOML"),
    ],
)
def test_packages_that_can_not_be_had_are_one_line(
    environments: Path, tmp_path: Path, lines: str, why: str
) -> None:
    file = write(tmp_path, "needs_more.py", f"{lines}def work(n): return n\n")
    with pytest.raises(BadJobError, match=rf"needs_more\.py: {why}"):
        load_function(file, queue_environments=environments)


def test_without_uv_the_line_says_what_brings_it(
    environments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    file = write(tmp_path, "needs_uv.py", block("qmneeded") + NEEDS)
    with pytest.raises(BadJobError, match=r"needs uv.*'quartermaster-queue\[environments\]'$"):
        load_function(file, queue_environments=environments)


def test_where_no_environments_are_made_the_line_says_so(tmp_path: Path) -> None:
    file = write(tmp_path, "needs_any.py", block("qmneeded") + NEEDS)
    with pytest.raises(BadJobError, match="QUEUE_ENVIRONMENTS=off"):
        load_function(file, queue_environments=None)
