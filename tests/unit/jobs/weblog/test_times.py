"""Times of many lines at once mean what each means alone."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.weblog.count.summary import Summary
from jobs.weblog.count.tally import Tally
from jobs.weblog.parse.columns import Batch
from jobs.weblog.parse.patterns import Moment
from jobs.weblog.parse.times import Clock, by_hours
from jobs.weblog.parse.words import Words
from tests.unit.jobs.weblog.logs_made import asked, line

TIMES = [
    f"[{day:02}/Oct/2025:{hour:02}:{minute:02}:{second:02} {zone}] ".encode()
    for day in (26, 27)
    for hour in (0, 1, 23)
    for minute in (0, 9, 59)
    for second in (0, 10, 60)
    for zone in ("+0200", "-0330")
]


def alone(time: bytes) -> float | None:
    """What one time means."""
    return Clock("UTC").moment(time[1:21], time[22:27])


def together(times: list[bytes]) -> list[float | None]:
    """What all times mean."""
    rows = np.frombuffer(b"".join(times), np.uint8).reshape(len(times), -1)
    found = by_hours(rows, Clock("UTC").moment)
    return [None if np.isnan(moment) else moment for moment in found.tolist()]


@pytest.mark.parametrize("times", [TIMES, TIMES[::-1], TIMES[:1]])
def test_times_mean_together_what_each_means_alone(times: list[bytes]) -> None:
    assert together(times) == [alone(time) for time in times]


@pytest.mark.parametrize(
    "odd",
    [
        b"[26/Oct/2025:13:60:00 +0200] ",
        b"[26/Oct/2025:13:00:61 +0200] ",
        b"[26/Oct/2025:13:0a:00 +0200] ",
        b"[26/Oct/2025:13:00:/0 +0200] ",
        b"[26/Oct/2025:13-00:00 +0200] ",
        b"[26/Oct/2025:13:00-00 +0200] ",
        b"[26/Okt/2025:13:00:00 +0200] ",
        b"(26/Oct/2025:13:00:00 +0200] ",
        b"[26/Oct/2025:13:00:00_+0200] ",
        b"[26/Oct/2025:13:00:00 +02:0] ",
        b"[26/Oct/2025:13:00:00 +0200) ",
        b"[26/Oct/2025:13:00:00 +0200]_",
        b"[6/Oct/2025:13:00:00  +0200] ",
        b"[2025-10-26T13:00:00Z +0200] ",
    ],
)
def test_one_time_that_is_not_like_the_others_is_left_to_a_closer_look(odd: bytes) -> None:
    expected = [alone(time) for time in TIMES]
    assert together([*TIMES, odd, *TIMES]) == [*expected, None, *expected]


def regular(text: bytes, moment: Moment) -> Batch:
    """The requests of a text without odd lines."""
    words = Words([], "auto", moment)
    assert words.read(text) == []
    batch, odd = words.batch()
    assert odd == []
    return batch


def test_an_hour_is_read_once_for_all_its_lines() -> None:
    asked: list[bytes] = []

    def moment(time: bytes, zone: bytes) -> float | None:
        asked.append(time)
        return Clock("UTC").moment(time, zone)

    times = [f"01/Oct/2025:13:{n // 60:02}:{n % 60:02} +0000" for n in range(3600)]
    text = "".join(f"{line(time=time)}\n" for time in times).encode()
    batch = regular(text, moment)
    assert (len(batch), asked) == (3600, [b"01/Oct/2025:13:00:00"])
    assert [batch.moments[place] for place in batch.when] == [1759323600.0 + n for n in range(3600)]


def test_the_label_of_an_hour_is_looked_up_once_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock("Asia/Kathmandu")  # 5:45 before UTC
    looked_up: list[float] = []
    label = clock.hour

    def hour(moment: float) -> bytes:
        looked_up.append(moment)
        return label(moment)

    monkeypatch.setattr(clock, "hour", hour)
    tally = Tally(asked(by=["hour"]), clock)
    times = [f"01/Oct/2025:13:{n // 60:02}:{n % 60:02} +0000" for n in range(3600)]
    text = "".join(f"{line(time=time)}\n" for time in times).encode()
    tally.add(regular(text, clock.moment))
    summary = Summary(["hour"])
    summary.merge(tally.packed())
    assert {entry.value: entry.count for entry in summary.tops["hour"].first()} == {
        "2025-10-01T18:00+05:45": 900,
        "2025-10-01T19:00+05:45": 2700,
    }
    assert (summary.first, summary.last) == (1759323600.0, 1759327199.0)
    assert len(looked_up) == 4
