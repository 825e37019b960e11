"""The function that FILE or FILE:FUNCTION names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.cli.mapping.function import load_function
from queue_manager.errors import BadJobError, UnknownJobError


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path) -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


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
