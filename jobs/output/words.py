"""Numbers, times and foreign texts as people, and their programs for tables, read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def size(count: float) -> str:
    """Bytes: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:,.1f} {unit}"


def duration(seconds: float) -> str:
    """A time that passes: `30 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(number: int, one: str, more: str = "") -> str:
    """A number and what there is of it: `1 file`, `2,000 files`; `more` where no s is enough."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def share(part: float, whole: float) -> str:
    """A part of a whole: `12.3 %`, on one line. What is there is more than `0.0 %`."""
    if not whole:
        return "–"  # noqa: RUF001
    percent = 100 * part / whole
    return "<\xa00.1\xa0%" if 0 < percent < 0.05 else f"{percent:.1f}\xa0%"


def moment(at: float, zone: str = "UTC") -> str:
    """A moment, epoch, s: `1 June 2026, 08:02`, without the zone in which that is."""
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%B %Y, %H:%M}"


def span(first: float, last: float, zone: str = "UTC") -> str:
    """From a moment to another, epoch, s: `1 June 2026, 08:02 to 09:15`."""
    begin, end = moment(first, zone), moment(last, zone)
    if begin == end:
        return begin
    day, _, hour = end.partition(", ")
    return f"{begin} to {hour if begin.startswith(f'{day}, ') else end}"


def printable(text: str) -> str:
    """A text with `\\xNN` for what is not printed."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def cell(text: str) -> str:
    """A text that no program for tables takes for a formula: such a one gets a `'` before it.

    Sources: https://owasp.org/www-community/attacks/CSV_Injection, which also names the wide forms.
    """
    begins = text.lstrip(" ").startswith(_FORMULAS)
    return f"'{text}" if begins and text != "-" else text
