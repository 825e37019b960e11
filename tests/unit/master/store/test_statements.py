"""Statements by their names: each that the shared verbs run is there for both engines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from master.store.postgres.database import STATEMENTS as OF_POSTGRES
from master.store.relational.statements import Statements, read
from master.store.sqlite.database import STATEMENTS as OF_SQLITE
from tests.integration.processes import REPO

RELATIONAL = REPO / "master" / "store" / "relational"
_RUN = re.compile(r"\bdb\.(?:rows|stream|first|one|run|changed|look_up)\(\s*\"(\w+)\"")
_ENGINES = pytest.mark.parametrize(
    "statements", [OF_SQLITE, OF_POSTGRES], ids=["sqlite", "postgres"]
)


def run_by_the_verbs() -> set[str]:
    return {
        name for file in RELATIONAL.rglob("*.py") for name in _RUN.findall(file.read_text("utf-8"))
    }


@_ENGINES
def test_each_engine_has_what_the_shared_verbs_run(statements: Statements) -> None:
    names = run_by_the_verbs()
    assert len(names) > 60
    assert names - statements.names == set()


def test_a_statement_of_one_engine_alone_is_none_of_the_shared_verbs() -> None:
    assert run_by_the_verbs() & (OF_SQLITE.names ^ OF_POSTGRES.names) == set()


@_ENGINES
def test_an_engine_repeats_no_statement_that_both_understand(statements: Statements) -> None:
    """A statement of an engine that equals the common one is of no use there."""
    common = read("master.store.relational")
    package = "master.store.sqlite" if statements is OF_SQLITE else "master.store.postgres"
    same = {name for name, text in read(package).items() if common.get(name) == text}
    assert same == set()


def test_a_name_that_stands_twice_in_the_files_of_a_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_engine" / "sql"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "a.sql").write_text("-- name: one\nSELECT 1;\n")
    (folder / "b.sql").write_text("-- name: one\nSELECT 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^b\.sql has one once more$"):
        read("some_engine")
    (folder / "b.sql").write_text("-- What this is.\n\n-- name: two\n-- Why.\nSELECT 2\n")
    assert read("some_engine") == {"one": "SELECT 1", "two": "-- Why.\nSELECT 2"}


def test_a_part_stands_in_the_place_of_its_name_and_may_have_columns_in_it() -> None:
    text = OF_SQLITE.text("revive", {"which": "{some_dead}"})
    assert "json_each(:tasks)" in text
    assert "{" not in text
