"""Words on a command line become what `tasks()` takes."""

import datetime
import decimal
import enum
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar

import msgspec
import pytest

from queue_manager import codec
from queue_manager.errors import ArgumentError
from queue_manager.job.arguments import (
    decode_arguments,
    finish_arguments,
    finish_trouble,
    parse_arguments,
    shown_arguments,
    split_arguments,
    takes_previous,
)


class Even(str):
    """A type of a job's own, whose constructor says no."""

    def __new__(cls, text: str) -> "Even":
        if int(text) % 2:
            raise ValueError(text)
        return super().__new__(cls, text)


class Broken:
    """A type of a job's own, whose constructor fails in a way of its own."""

    def __init__(self, text: str) -> None:
        raise KeyError(text)


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
        (["count=1", "ids=1,2"], "argument 'ids' is a list[int] as JSON text, such as [1, 2], "),
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


class Colour(enum.Enum):
    RED = 1
    BLUE = "sky blue"


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


Identity = NewType("Identity", int)
T = TypeVar("T")


def of(kind: Any, text: str) -> Any:
    """What an argument of that annotation gets."""

    def tasks(a): ...  # type: ignore[no-untyped-def]

    tasks.__annotations__["a"] = kind
    return parse_arguments([f"a={text}"], tasks)["a"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Optional[int], "3", 3),  # noqa: UP045
        (Optional[int], "none", None),  # noqa: UP045
        (int | None, "", None),
        (str | None, "none", "none"),
        (bool | None, "yes", True),
        (Path | None, "null", None),
        (Annotated[bool, "as a word"], "off", False),
        (Annotated[int | None, msgspec.Meta(ge=1)], "5", 5),
        (Annotated[int | None, msgspec.Meta(ge=1)], "none", None),
        (int | str, "3", 3),
        (str | int, "three", "three"),
        (float | str, "1.5", 1.5),
        (int | list[int], "[1]", [1]),
        (Colour, "RED", Colour.RED),
        (Colour, "1", Colour.RED),
        (Colour, "sky blue", Colour.BLUE),
        (Colour | None, "BLUE", Colour.BLUE),
        (list[Colour], '["RED", "sky blue"]', [Colour.RED, Colour.BLUE]),
        (tuple[Colour, int], '["RED", 2]', (Colour.RED, 2)),
        (Level, "LOW|HIGH", Level.LOW | Level.HIGH),
        (bytes, "aGVsbG8=", b"hello"),
        (datetime.datetime, "2026-01-02", datetime.datetime(2026, 1, 2)),
        (datetime.datetime, "2026-01-02 03:04", datetime.datetime(2026, 1, 2, 3, 4)),
        (datetime.time, "12:30", datetime.time(12, 30)),
        (datetime.timedelta, "90", datetime.timedelta(seconds=90)),
        (datetime.timedelta, "PT1M", datetime.timedelta(minutes=1)),
        (Identity, "3", 3),
        (T, "x", "x"),
        (Iterable[int], "[1, 2]", [1, 2]),
    ],
)
def test_every_kind_of_annotation_is_converted(kind: Any, text: str, value: Any) -> None:
    got = of(kind, text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (Optional[int], "x", "is a whole number or none, not 'x'"),  # noqa: UP045
        (bool | None, "maybe", "is true or false or none, not 'maybe'"),
        (int | float, "x", "is a whole number or a number, not 'x'"),
        (Colour, "green", "is one of RED, BLUE, not 'green'"),
        (Colour | None, "green", "is one of RED, BLUE or none, not 'green'"),
        (list[Colour], "RED", 'is a list[Colour] as JSON text, such as ["RED", "BLUE"], not'),
        (bytes, "abc", "is base64 of bytes, such as aGVsbG8=, not 'abc'"),
        (datetime.datetime, "now", "is a date and time such as 2026-01-02T03:04:05+01:00, not"),
        (datetime.date, "soon", "is a date such as 2026-01-02, not 'soon'"),
        (datetime.time, "noon", "is a time of day such as 12:30, not 'noon'"),
        (datetime.timedelta, "1:00", "is a number of seconds, or a duration such as PT1H30M, not"),
        (dict[str, int], "a=1", "is a dict[str, int] as JSON text, such as {\"a\": 1}, not 'a=1'"),
        (Annotated[int | None, msgspec.Meta(ge=1)], "0", "is a whole number or none, not '0' ("),
        (Callable[[], int], "x", "which no command line can give"),
        (int, "9" * 5_000, "is a whole number, not '" + "9" * 100 + "' ... (5,000 characters)"),
        (Broken, "x", "is a Broken, not 'x'"),
    ],
)
def test_what_is_expected_is_said_in_one_line(kind: Any, text: str, says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        of(kind, text)
    said = str(caught.value).replace(f"{__name__}.", "")
    assert said.startswith("argument 'a' is ")
    assert says in said
    assert len(said) < 250
    assert "\n" not in said


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


# --- arguments as values, and the results of other runs ---


def test_values_stay_as_they_are_beside_texts() -> None:
    def tasks(count: int, when: str = "now", *, deep: object = None) -> None: ...

    given = parse_arguments(["count=3"], tasks, {"when": 7, "deep": {"a": (1,)}})
    assert given == {"count": 3, "when": 7, "deep": {"a": (1,)}}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("even", "3", "argument 'even' is an even number, not '3'"),
        ("even", 4, "argument 'even' is an even number, not 4"),
        ("few", 0, "argument 'few' is a whole number, 1 or more, not 0"),
        ("few", "many", "argument 'few' is a whole number, 1 or more, not 'many'"),
        ("few", [1] * 99, "argument 'few' is a whole number, 1 or more, not [1, 1, 1"),
        ("bare", 0, "argument 'bare' is a "),
        ("mode", "idle", "argument 'mode' is one of fast, slow, not 'idle'"),
        ("since", "soon", "argument 'since' is a "),
    ],
)
def test_a_value_that_an_annotation_refuses_is_the_same_line(
    name: str, value: Any, says: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_arguments([], many, {"count": 1, name: value})
    assert str(caught.value).startswith(says)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        ("even", "4", Even("4")),
        ("few", 2, 2),
        ("mode", "slow", "slow"),
        ("since", "2026-01-02", datetime.date(2026, 1, 2)),
        ("since", datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        ("since", None, None),
        ("top", None, None),
        ("free", None, None),
        ("out", "x", "x"),
        ("name", 7, 7),
    ],
)
def test_a_value_becomes_what_the_annotation_makes_of_a_text(
    name: str, value: Any, got: Any
) -> None:
    given = parse_arguments([], many, {"count": 1, name: value})[name]
    assert (type(given), given) == (type(got), got)


def test_values_are_fitted_by_name() -> None:
    def tasks(count: int, name: str = "") -> None: ...

    with pytest.raises(ArgumentError, match=r"unknown argument 'nam' \(did you mean name\?\)"):
        parse_arguments([], tasks, {"nam": 1})
    with pytest.raises(ArgumentError, match="argument 'count' is given twice"):
        parse_arguments(["count=3"], tasks, {"count": 3})
    with pytest.raises(ArgumentError, match="missing argument 'count'"):
        parse_arguments([], tasks, {"name": "x"})


def test_further_names_take_values_too() -> None:
    def tasks(**others: int) -> None: ...

    assert parse_arguments(["a=1"], tasks, {"b": "x"}) == {"a": 1, "b": "x"}


def test_encoded_arguments_are_a_dict_by_names() -> None:
    assert decode_arguments(b"") == {}
    assert decode_arguments(codec.encode({"a": {1, 2}})) == {"a": {1, 2}}
    for wrong in (codec.encode([1]), codec.encode({1: 2}), codec.encode(None)):
        with pytest.raises(ArgumentError, match="no dict with their names"):
            decode_arguments(wrong)
    with pytest.raises(ArgumentError, match="can't be read"):
        decode_arguments(b"\xc1\xc1")


def test_values_are_shown_in_one_line_and_cut() -> None:
    shown = shown_arguments({"count": 3, "name": "a\nb", "long": list(range(1_000))})
    assert shown[:2] == ["count=3", r"name='a\nb'"]
    assert shown[2].startswith("long=[0, 1, 2")
    assert len(shown[2]) < 120


def test_previous_is_the_results_of_other_runs_and_no_argument() -> None:
    def tasks(previous: object, count: int = 1) -> None: ...

    assert takes_previous(tasks)
    assert parse_arguments(["count=2"], tasks, follows=True) == {"count": 2}
    with pytest.raises(ArgumentError, match="say after which, with --after"):
        parse_arguments(["count=2"], tasks)
    for texts, values in ((["previous=3"], {}), ([], {"previous": 3})):
        with pytest.raises(ArgumentError, match="'previous' is the results of other runs"):
            parse_arguments(texts, tasks, values, follows=True)


def test_previous_with_a_default_may_be_left_out() -> None:
    def tasks(previous: object = ()) -> None: ...

    assert parse_arguments([], tasks) == parse_arguments([], tasks, follows=True) == {}


def test_a_job_without_previous_may_follow_others() -> None:
    def tasks(count: int = 1) -> None: ...

    assert not takes_previous(tasks)
    assert parse_arguments([], tasks, follows=True) == {}
    with pytest.raises(ArgumentError, match=r"unknown argument 'previous'.*takes count"):
        parse_arguments(["previous=1"], tasks)


def test_finish_takes_values_and_not_the_results_of_other_runs() -> None:
    def tasks(previous: object, count: int, name: str = "x") -> None: ...

    def finish(results: object, count: int, name: str) -> None: ...

    assert finish_arguments(finish, tasks, [], {"count": "7"}) == {"count": "7", "name": "x"}
    assert finish_trouble(lambda results, previous: None, tasks)
