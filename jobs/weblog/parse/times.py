"""What the times of log lines mean: moments in UTC, and the hours that people count by."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.uint8]
Moments = npt.NDArray[np.float64]

QUARTER_S = 900  # zones differ from UTC by whole quarters of an hour
_CLF = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d)")
_OFFSET = re.compile(rb"([+-])(\d\d)(\d\d)")
_NUMBER = re.compile(rb"\d{1,19}(\.\d*)?(e[+]?\d+)?")
_END = 19_880_899_200.0  # the year 2600
_NAMES = "JanFebMarAprMayJunJulAugSepOctNovDec"
WIDTH = len("[10/Oct/2000:13:55:36 -0700] ")
_DIGITS, _OF_HOUR = [16, 17, 19, 20], [*range(15), *range(22, 27)]
_SIGNS = {0: "[", 15: ":", 18: ":", 21: " ", 27: "]", 28: " "}
_MONTHS = {_NAMES[place : place + 3].encode(): place // 3 + 1 for place in range(0, 36, 3)}


class Clock:
    """Reads times.

    Args:
        zone: the zone of the hours.
    """

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._starts: dict[tuple[bytes, bytes], float | None] = {}
        self._labels: dict[int, bytes] = {}

    def moment(self, time: bytes, zone: bytes = b"") -> float | None:
        """UTC epoch, s; None for what is no time from 1970 to 2599.

        Args:
            time: `10/Oct/2000:13:55:36`, ISO 8601, or a number of seconds (or milli-, micro- or
                nanoseconds, by its size) since 1970.
            zone: `-0700`, if it is not in `time`.
        """
        if len(time) != 20 or time[2:3] != b"/":
            return self._other(time, zone)
        key = time[:14], zone
        if key not in self._starts:
            self._starts[key] = _hour_start(*key)
        start = self._starts[key]
        minute, second = time[15:17], time[18:20]
        if start is None or not (minute.isdigit() and second.isdigit()):
            return None
        if time[14] != 58 or time[17] != 58 or minute > b"59" or second > b"60":
            return None
        return start + 60 * int(minute) + int(second)

    def _other(self, time: bytes, zone: bytes) -> float | None:
        if time[2:3] == b"/" and time[20:21] == b" ":
            return None if zone else self.moment(time[:20], time[21:])
        if _NUMBER.fullmatch(time):
            return _since_1970(float(time))
        if time.isdigit():
            return None  # fromisoformat would read a date and an hour in it
        try:
            return _if_usual(_iso(time.decode("ascii"), zone))
        except (ValueError, OverflowError):
            return None

    def hour(self, moment: float) -> bytes:
        """The hour of a moment, such as `2025-10-01T13:00+02:00`; `Z` stands for UTC."""
        quarter = int(moment // QUARTER_S)
        label = self._labels.get(quarter)
        if label is None:
            local = datetime.fromtimestamp(quarter * QUARTER_S, self._zone)
            text = local.replace(minute=0).isoformat(timespec="minutes")
            label = self._labels[quarter] = text.replace("+00:00", "Z").encode()
        return label


def by_hours(texts: Texts, moment: Callable[[bytes, bytes], float | None]) -> Moments:
    """The moments of times in brackets: an hour is read once, not each second.

    Args:
        texts: a row of bytes for each time, such as `[10/Oct/2000:13:55:36 -0700] `.
        moment: what a time and a zone mean, UTC epoch, s.

    Returns:
        UTC epoch, s; NaN for what is no such time.
    """
    digits = texts[:, _DIGITS] - np.uint8(ord("0"))
    minutes, seconds = (digits[:, place] * 10 + digits[:, place + 1] for place in (0, 2))
    regular = (digits <= 9).all(axis=1) & (minutes <= 59) & (seconds <= 60)
    for place, sign in _SIGNS.items():
        regular &= texts[:, place] == ord(sign)
    # Logs are in order of time, so an hour is one run of rows, or a few.
    hours = texts[:, _OF_HOUR]
    begins = np.ones(len(texts), np.bool_)
    begins[1:] = (hours[1:] != hours[:-1]).any(axis=1)
    starts = [moment(row[1:15] + b":00:00", row[22:27]) for row in map(bytes, texts[begins])]
    known = np.array([np.nan if start is None else start for start in starts], np.float64)
    found = known[np.cumsum(begins) - 1] + 60.0 * minutes + seconds
    return np.where(regular, found, np.nan)


def _hour_start(text: bytes, zone: bytes) -> float | None:
    found, offset = _CLF.fullmatch(text), _offset(zone)
    if found is None or offset is None or found[2] not in _MONTHS:
        return None
    day, year, hour = int(found[1]), int(found[3]), int(found[4])
    try:
        local = datetime(year, _MONTHS[found[2]], day, hour, tzinfo=UTC)
        return _if_usual((local - offset).timestamp())
    except (ValueError, OverflowError):
        return None


def _offset(zone: bytes) -> timedelta | None:
    found = _OFFSET.fullmatch(zone)
    if found is None:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -offset if found[1] == b"-" else offset


def _iso(text: str, zone: bytes) -> float:
    """UTC epoch, s, of a text of ISO 8601. Raises ValueError, OverflowError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is not None:
        return when.timestamp()
    offset = _offset(zone) if zone else timedelta(0)
    if offset is None:
        raise ValueError(zone)
    return (when.replace(tzinfo=UTC) - offset).timestamp()


def _if_usual(moment: float) -> float | None:
    """A moment whose hour has a name in every zone, else None."""
    return moment if 0 <= moment < _END else None


def _since_1970(number: float) -> float | None:
    for unit in (1.0, 1e3, 1e6, 1e9):
        if number / unit < _END:
            return number / unit
    return None
