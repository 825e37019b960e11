"""Long values: a range takes little memory, whatever its lines have in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.weblog.count import counted
from jobs.weblog.count.counted import Counted, texts_of
from jobs.weblog.count.summary import shortened, text_of
from tests.unit.jobs.weblog.logs_made import counts, line, run

LONG = ["x" * 300, "x" * 301, "y" * 100_000, "y" * 100_001, "ä" * 200, "ä" * 301]


def add(table: Counted, values: list[bytes]) -> None:
    """Add each value once."""
    codes = np.arange(len(values), dtype=np.int32)
    table.add(pa.array(values, pa.binary()), codes, np.ones(len(values), np.int64))


def test_long_values_are_kept_short_and_count_together() -> None:
    values = [text.encode() for text in LONG] + [b"\xff" * 100, b"\xff" * 400]
    table = Counted()
    for _ in range(3):
        add(table, values)
        assert sum(part.nbytes for part in table._tables) < 30_000
    entries, lost = table.cut(100)
    expected = {shortened(text_of(value)): 3 for value in values}
    assert (dict(zip(entries.values, entries.counts, strict=True)), lost) == (expected, 0)
    assert len(entries.values) == len(values)


def test_tables_are_added_up_when_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "_MOST_BYTES", 10_000)
    table = Counted()
    for _ in range(100):
        add(table, [b"x" * 290] * 5)
        assert sum(part.nbytes for part in table._tables) < 20_000
    assert table.cut(100)[0].counts == [500]


def test_long_lines_of_requests_are_split_before_they_are_kept_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(counted, "_MOST_BYTES", 10_000)
    spilled: list[int] = []
    spill = counted.Counted.take
    monkeypatch.setattr(
        counted.Counted, "take", lambda *words: (spilled.append(1), spill(*words))[1]
    )
    paths = [f"/{'p' * 250}{number}" for number in range(4)]
    lines = [
        line(request=f"GET {path}?{'q' * number} HTTP/1.1")
        for path in paths
        for number in range(200)
    ]
    (tmp_path / "access.log").write_text("".join(f"{each}\n" for each in lines))
    found = run([tmp_path / "access.log"], query=False)
    assert counts(found, "path") == dict.fromkeys(paths, 200)
    assert counts(found, "method") == {"GET": 800}
    assert len(spilled) > 2


def test_values_are_texts_with_what_is_no_utf_8_as_escapes() -> None:
    assert texts_of(pa.array(["ä".encode(), b"b"], pa.binary())) == ["ä", "b"]
    assert texts_of(pa.array([b"\xff", "ä".encode()], pa.binary())) == ["\\xff", "ä"]
