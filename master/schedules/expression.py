"""The slots of an expression as of cron, in the local time of a zone; decides about summer time.

cronsim knows the expression, and is asked in local time without a zone. Here each local time
becomes a moment:

- A local time that a clock skips (a gap) is one moment: the one that the clock of before the gap
  would show it at. 02:30 on the night when 02:00 becomes 03:00 is 03:30.
- A local time that comes twice (an overlap) is one moment, the first. Of an expression whose hours
  are all hours, it is both: such an expression counts real minutes, not hours of the day.

So moments are UTC, and no two local times of before and after a change are mixed up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from queue_manager.errors import RefusedError
from queue_manager.wire.limits import printable

if TYPE_CHECKING:  # these take 20 ms of a start, and a master may have no schedule
    from zoneinfo import ZoneInfo

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS = 5
_HOURS = 24
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_LAST_YEAR = 9_000


class Slots:
    """The slots of an expression in a zone. Moments are UTC epochs in seconds, whole minutes.

    Raises RefusedError (when it is made): a line that says what is wrong with the expression or the
    zone.
    """

    def __init__(self, expression: str, zone: str) -> None:
        from cronsim import CronSim, CronSimError

        text = WORDS.get(expression.strip().lower(), expression)
        shown = printable(expression)
        if len(text.split()) != _FIELDS:
            raise RefusedError(
                f"{shown!r} is no cron expression: it has five fields (minute, hour, day of the"
                " month, month, day of the week), such as '0 3 * * *', or is one of"
                f" {', '.join(WORDS)}"
            )
        self._cron, self._text = CronSim, text
        self._zone = zone_named(zone)
        try:
            parsed = CronSim(text, datetime(2026, 1, 1))
            next(parsed)
        except (CronSimError, ValueError) as error:
            if _is_day_of_no_month(text):
                raise RefusedError(f"{shown!r} never comes: its months have no such day") from None
            reason = str(error).removeprefix("Bad ")
            raise RefusedError(f"{shown!r} is no cron expression: its {reason} is wrong") from None
        except StopIteration:
            raise RefusedError(f"{shown!r} never comes: no such day is in the next years") from None
        self._counts_minutes = len(set(parsed.hours)) == _HOURS

    def after(self, moment: float) -> float:
        """The first slot behind a moment. math.inf: there is none in the next 50 years."""
        return self._nearest(moment, 1)

    def before(self, moment: float) -> float:
        """The last slot before a moment or at it. -math.inf: there is none in 50 years."""
        return self._nearest(moment, -1)

    def newest(self, after: float, until: float, most: int) -> tuple[list[float], bool]:
        """The newest slots behind `after` and up to `until`, the oldest first.

        Returns also whether there are more than `most`.
        """
        found: list[float] = []
        at = until
        while (at := self.before(at)) > after:
            if len(found) == most:
                return found[::-1], True
            found.append(at)
            at -= 1.0
        return found[::-1], False

    def local(self, moment: float) -> datetime:
        """The local time at a moment."""
        return datetime.fromtimestamp(moment, self._zone)

    def _nearest(self, moment: float, way: int) -> float:
        """The nearest slot in one direction: 1 is later, -1 is earlier or now.

        Local times go on in their order, moments not quite: near a change of the clock a later
        local time may be an earlier moment. So the search begins as much before, and ends as much
        behind, as the clock is changed by.
        """
        if not 0 <= moment < datetime(_LAST_YEAR, 1, 1, tzinfo=UTC).timestamp():
            return way * math.inf
        at = datetime.fromtimestamp(moment, UTC)
        offset = at.astimezone(self._zone).utcoffset() or timedelta(0)
        start = (at + offset).replace(tzinfo=None) - way * self._slack(at)
        start = start + _MINUTE if way < 0 else start - _MINUTE
        best, end = way * math.inf, None
        for local in self._locals(start, way):
            if end is not None and (local - end) * way > timedelta(0):
                break
            for slot in self._moments(local):
                if (slot > moment) if way > 0 else (slot <= moment):
                    best = min(best, slot) if way > 0 else max(best, slot)
            if end is None and math.isfinite(best):
                there = datetime.fromtimestamp(best, UTC)
                end = local + way * self._slack(there)
        return best

    def _locals(self, start: datetime, way: int) -> Iterator[datetime]:
        """Local times of the expression, from a local time on."""
        return iter(self._cron(self._text, start, reverse=way < 0))

    def _moments(self, local: datetime) -> Iterator[float]:
        """The moments of one local time, as the module's text says."""
        first, second = (local.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        yield first.timestamp()
        if self._counts_minutes and first.utcoffset() != second.utcoffset():
            again = second.timestamp()
            if again > first.timestamp():  # an overlap; in a gap it is earlier
                yield again

    def _slack(self, at: datetime) -> timedelta:
        """By how much the clock is changed within a day of a moment."""
        days = (at + days * _DAY for days in (-1, 0, 1))
        offsets = [day.astimezone(self._zone).utcoffset() or timedelta(0) for day in days]
        return max(offsets) - min(offsets)


def _is_day_of_no_month(text: str) -> bool:
    """Whether an expression is wrong by its day and month together, such as of 30 February."""
    minute, hour, day, month, weekday = text.split()
    return all(
        _is_right(f"{minute} {hour} {alone} {weekday}") for alone in (f"{day} *", f"* {month}")
    )


def _is_right(text: str) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(text, datetime(2026, 1, 1))
    except (CronSimError, ValueError):
        return False
    return True


@lru_cache(maxsize=1_024)
def slots_of(expression: str, zone: str) -> Slots:
    """The same as `Slots`, made once."""
    return Slots(expression, zone)


@lru_cache(maxsize=1_024)
def zone_named(name: str) -> ZoneInfo:
    """A zone of the IANA data base. Raises RefusedError if there is none of this name."""
    from zoneinfo import ZoneInfo

    try:
        if name == "localtime" or not name.isascii() or not name.isprintable():
            raise ValueError
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        near = next(_near(name), "Europe/Berlin or UTC")
        raise RefusedError(
            f"{printable(name)!r} is no time zone: take a name such as {near}"
        ) from None


def _near(name: str) -> Iterator[str]:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    yield from get_close_matches(name, sorted(available_timezones()), 1, 0.8)
