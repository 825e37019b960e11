"""Which dead letters a form chooses, and what is said of a wrong field."""

from __future__ import annotations

import pytest

from master.web.actions.action import FieldError, Fields
from master.web.actions.retry import chosen
from queue_manager.wire.failures import FailureFilter


def fields(**texts: str) -> Fields:
    return Fields(texts.items())


def test_empty_fields_choose_all() -> None:
    assert chosen(fields()) is None
    assert chosen(fields(error=" ", worker="", since="", until="", task="")) is None


def test_fields_choose_together() -> None:
    only = chosen(
        fields(error="ValueError@lines.py:12", worker="host/7", task="9", since="1970-01-02")
    )
    assert only == FailureFilter(((9, 10),), "ValueError", "lines.py:12", "host/7", 86_400.0)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T01:00", 3_600.0),
        ("1970-01-01T01:00+01:00", 0.0),
        ("1970-01-01T01:00Z", 3_600.0),
        ("1777896000.5", 1_777_896_000.5),
        ("20260504", 1_777_852_800.0),
        ("2026-05-04", 1_777_852_800.0),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, at: float) -> None:
    only = chosen(fields(since=text))
    assert only is not None
    assert only.since == at


@pytest.mark.parametrize(
    ("field", "text", "line"),
    [
        ("since", "noon", "'noon' is no time"),
        ("until", "nan", "'nan' is no time"),
        ("since", "9" * 400, "is no time"),
        ("since", "2026", "'2026' is no time, such as 2026-05-04T12:00"),
        ("until", "20260504120000", "is no time"),
        ("since", "-5", "is no time"),
        ("error", "ValueError@line 12", "is no place"),
        ("error", "x" * 2_000, "2,000 characters"),
        ("worker", "x" * 2_000, "2,000 characters"),
        ("task", "0", "'0' is no number of a task"),
        ("task", "٣", "is no number of a task"),
        ("task", "9" * 30, "is no number of a task"),
    ],
)
def test_what_is_wrong_is_told_of_its_field(field: str, text: str, line: str) -> None:
    with pytest.raises(FieldError, match=line) as caught:
        chosen(fields(**{field: text}))
    assert caught.value.field == field


def test_a_time_that_ends_before_it_begins_is_wrong() -> None:
    with pytest.raises(FieldError, match="until is not later than since") as caught:
        chosen(fields(since="2026-05-04", until="2026-05-03"))
    assert caught.value.field == "until"
