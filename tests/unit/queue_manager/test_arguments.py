"""Words on a command line become what `tasks()` takes."""

import datetime
import decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest

from queue_manager.arguments import parse_arguments, split_arguments
from queue_manager.errors import ArgumentError


class Even(str):
    """A type of a job's own, whose constructor says no."""

    def __new__(cls, text: str) -> "Even":
        if int(text) % 2:
            raise ValueError(text)
        return super().__new__(cls, text)


def many(
    count: int,
    ratio: float = 0.5,
    loud: bool = False,
    name: str = "x",
    since: datetime.date | None = None,
    top: Optional[int] = None,  # noqa: UP045 - as users write it
    ids: list[int] = [],  # noqa: B006
    mode: Literal["fast", "slow"] = "fast",
    price: decimal.Decimal = decimal.Decimal(1),
    out: Path = Path("/shared"),
    log: Path | None = None,
    plain=3,  # type: ignore[no-untyped-def]
    free=None,
    *,
    late: "int" = 0,
    few: Annotated[int, msgspec.Meta(ge=1, description="whole number, 1 or more")] = 1,
    even: Annotated[Even, msgspec.Meta(description="even number")] = Even("0"),  # noqa: B008
    bare: Annotated[int, msgspec.Meta(ge=1)] = 1,
):
    yield count


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("count=10", 10),
        (f"count={10**30}", 10**30),
        ("count=-5", -5),
        ("ratio=1e3", 1000.0),
        ("ratio=2", 2.0),
        ("loud=yes", True),
        ("loud=False", False),
        ("loud=1", True),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=5", "5"),
        ("name=null", "null"),
        ("since=2026-01-02", datetime.date(2026, 1, 2)),
        ("top=5", 5),
        ("ids=[1, 2]", [1, 2]),
        ("mode=slow", "slow"),
        ("price=1.50", decimal.Decimal("1.50")),
        ("out=/tmp/x", Path("/tmp/x")),
        ("log=/tmp/x", Path("/tmp/x")),
        ("plain=4", 4),
        ("free=4", "4"),
        ("late=4", 4),
        ("few=2", 2),
        ("even=4", Even("4")),
    ],
)
def test_a_word_is_converted_by_annotation_or_default(word: str, value: Any) -> None:
    name = word.partition("=")[0]
    words = [word] if name == "count" else ["count=1", word]
    got = parse_arguments(words, many)[name]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["count=ten"], "argument 'count' is a whole number, not 'ten'"),
        (["count=1.5"], "argument 'count' is a whole number, not '1.5'"),
        (["count=1", "ratio=x"], "argument 'ratio' is a number, not 'x'"),
        (["count=1", "loud=maybe"], "argument 'loud' is true or false, not 'maybe'"),
        (["count=1", "since=soon"], "argument 'since' is a "),
        (["count=1", "ids=1,2"], "argument 'ids' is a list[int] as JSON text, not '1,2'"),
        (["count=1", "ids=[1,"], "argument 'ids' is a list[int] as JSON text"),
        (["count=1", "ids=[\"a\"]"], "argument 'ids' is a list[int] as JSON text"),
        (["count=1", "mode=idle"], "argument 'mode' is one of fast, slow, not 'idle'"),
        (["count=1", "few=0"], "argument 'few' is a whole number, 1 or more, not '0'"),
        (["count=1", "few=x"], "argument 'few' is a whole number, 1 or more, not 'x'"),
        (["count=1", "even=3"], "argument 'even' is an even number, not '3'"),
        (["count=1", "bare=0"], "argument 'bare' is a "),
        (["count=1", "price=dear"], "argument 'price' is a Decimal, not 'dear'"),
        (["cuont=1"], "unknown argument 'cuont' (did you mean count?): the job takes count, ratio"),
        (["count=1", "count=2"], "argument 'count' is given twice"),
        (["10"], "argument '10' is not of the form name=value"),
        (["=10"], "argument '=10' is not of the form name=value"),
        ([], "missing argument 'count': give count=…"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_one_clear_line(words: list[str], says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_arguments(words, many)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_any_name_is_taken_where_the_job_takes_any() -> None:
    def tasks(count: int = 1, **others: float) -> None: ...

    assert parse_arguments(["count=2", "x=1"], tasks) == {"count": 2, "x": 1.0}


def test_annotations_that_are_text_are_resolved() -> None:
    space: dict[str, Any] = {}
    source = (
        "from __future__ import annotations\nimport datetime\n"
        "def tasks(a: int, b: datetime.date, c: Unknown = None): ...\n"
    )
    exec(source, space)
    assert parse_arguments(["a=1", "b=2026-01-02", "c=x"], space["tasks"]) == {
        "a": 1, "b": datetime.date(2026, 1, 2), "c": "x",
    }  # fmt: skip


def test_a_job_without_tasks_or_parameters_takes_no_arguments() -> None:
    assert parse_arguments([], None) == {}
    with pytest.raises(ArgumentError, match=r"has no tasks\(\)"):
        parse_arguments(["a=1"], None)
    with pytest.raises(ArgumentError, match="takes no arguments"):
        parse_arguments(["a=1"], lambda: None)


def test_a_line_is_split_as_a_shell_does() -> None:
    assert split_arguments("count=10 name='a b' x=\"1 2\"") == ["count=10", "name=a b", "x=1 2"]
    assert split_arguments("") == []
    with pytest.raises(ArgumentError, match="no closing quotation"):
        split_arguments("name='a")
