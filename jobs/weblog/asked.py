"""The arguments of a run: types that refuse wrong values, and the record in each payload."""

from __future__ import annotations

import contextlib
import re
import shlex
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

NAMES = ("status", "path", "client", "hour", "method", "referrer", "agent")
"""What requests can be counted by, in the order of a report."""

FIELDS = {
    "client",
    "time",
    "zone",
    "request",
    "method",
    "path",
    "status",
    "bytes",
    "referrer",
    "agent",
    "seconds",
}
"""The names that groups of a `regex=` may have."""


class Paths(str):
    """Paths and patterns with spaces between them; quotes around one that has spaces."""

    def __new__(cls, text: str) -> Paths:
        made = super().__new__(cls, text)
        if not made.patterns():
            raise ValueError(text)
        return made

    def patterns(self) -> list[str]:
        """The patterns, one by one. Raises ValueError for a quote without its partner."""
        return shlex.split(self)


class By(str):
    """Names of what is counted, with commas between them."""

    def __new__(cls, text: str) -> By:
        made = super().__new__(cls, text)
        if not made.names() or set(made.names()) - set(NAMES):
            raise ValueError(text)
        return made

    def names(self) -> list[str]:
        """The names, each once, in the order of NAMES."""
        words = self.replace(",", " ").split()
        return words if set(words) - set(NAMES) else [name for name in NAMES if name in words]


class Zone(str):
    """The name of a time zone, such as `Europe/Berlin`."""

    def __new__(cls, text: str) -> Zone:
        try:
            ZoneInfo(text)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(text) from error
        return super().__new__(cls, text)


_GROUP = re.compile(r"\(\?P?<(\w+)>")


class Regex(str):
    """A pattern of RE2 for a whole line, with named groups. Empty is none."""

    def __new__(cls, text: str = "") -> Regex:
        if text:
            groups = _groups(text)
            if groups - FIELDS or not {"client", "time"} <= groups:
                raise ValueError(text)
            _check(text)
        return super().__new__(cls, text)


def _groups(pattern: str) -> set[str]:
    """The names of a pattern's groups. Raises ValueError for what is no pattern."""
    try:
        made = re.compile(pattern)
    except re.error:
        _check(pattern)  # RE2 knows more than Python does, such as `\\pL`
        return set(_GROUP.findall(pattern))
    if made.groups != len(made.groupindex):
        raise ValueError("a group without a name")
    return set(made.groupindex)


def _check(pattern: str) -> None:
    # Only workers are sure to have RE2. Elsewhere the first task says what is wrong.
    with contextlib.suppress(ImportError):
        from .parse import patterns

        patterns.check(patterns.whole(pattern))


PathList = Annotated[
    Paths, msgspec.Meta(description="list of paths and patterns with spaces between them")
]
ByList = Annotated[
    By, msgspec.Meta(description=f"list with commas between them, of {', '.join(NAMES)}")
]
ZoneName = Annotated[Zone, msgspec.Meta(description="time zone, such as Europe/Berlin")]
Pattern = Annotated[
    Regex,
    msgspec.Meta(
        description="regular expression of RE2 with the named groups client and time, any of "
        + ", ".join(sorted(FIELDS - {"client", "time"}))
        + ", and no others: a group without a name is written (?:...)"
    ),
]
Megabytes = Annotated[int, msgspec.Meta(ge=1, le=4096, description="whole number, 1 to 4096")]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000, description="whole number, 1 to 100000")]
FormatName = Literal["auto", "combined", "common", "json"]

DEFAULT_BY, UTC, NO_REGEX = By("status,path,client,hour"), Zone("UTC"), Regex()


class Asked(msgspec.Struct, frozen=True):
    """What a run asks for, the same in each of its payloads.

    Attributes:
        format: how lines are read; with a `regex` it does not count.
        by: names of NAMES.
        since, until: UTC epoch, s: requests from `since` on and before `until` count.
        zone: the zone of hours.
        query: whether a path keeps what is behind its `?`.
        keep: the most values of each list that a result has.
        range_bytes: how much of a file is one task.
    """

    format: str
    by: list[str]
    regex: str = ""
    since: float | None = None
    until: float | None = None
    zone: str = "UTC"
    query: bool = True
    keep: int = 10_000
    range_bytes: int = 64 << 20

    def packed(self) -> dict[str, Any]:
        """Plain data for a payload."""
        return dict(msgspec.to_builtins(self))


def unpacked(data: dict[str, Any]) -> Asked:
    """The opposite of `packed`."""
    return msgspec.convert(data, Asked)


def moment_of(when: datetime | None, zone: str) -> float | None:
    """A time as UTC epoch, s. A time without a zone is in `zone`."""
    if when is None:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).timestamp()
