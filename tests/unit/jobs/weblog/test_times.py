"""Times of many lines at once mean what each means alone."""

from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.weblog.count.summary import Summary
from jobs.weblog.count.tally import Tally
from jobs.weblog.parse.times import Clock, by_hours
from jobs.weblog.parse.words import COMMON_WORDS, Words
from tests.unit.jobs.weblog.logs_made import asked, line

TIMES = [
    f"[{day:02}/Oct/2025:{hour:02}:{minute:02}:{second:02}".encode()
    for day in (26, 27)
    for hour in (0, 1, 23)
    for minute in (0, 9, 59)
    for second in (0, 10, 60)
]


def alone(time: bytes) -> float | None:
    """What one time means."""
    return Clock("UTC").moment(time[1:], b"+0200") if time[:1] == b"[" else None


@pytest.mark.parametrize("times", [TIMES, TIMES[::-1], TIMES[:1]])
def test_times_mean_together_what_each_means_alone(times: list[bytes]) -> None:
    array = pa.array([b"before", *times], pa.binary())[1:]
    assert by_hours(array, alone) == [alone(time) for time in times]


@pytest.mark.parametrize(
    "odd",
    [
        b"[26/Oct/2025:13:60:00",
        b"[26/Oct/2025:13:00:61",
        b"[26/Oct/2025:13:0a:00",
        b"[26/Oct/2025:13:00:/0",
        b"[26/Oct/2025:13-00:00",
        b"[26/Oct/2025:13:00-00",
        b"[26/Okt/2025:13:00:00",
        b"(26/Oct/2025:13:00:00",
        b"[6/Oct/2025:13:00:00",
        b"[2025-10-26T13:00:00Z",
        b"",
    ],
)
def test_one_time_that_is_not_like_the_others_is_left_to_a_closer_look(odd: bytes) -> None:
    assert by_hours(pa.array([*TIMES, odd], pa.binary()), alone) is None


def test_an_hour_is_read_once_for_all_its_lines() -> None:
    asked: list[bytes] = []

    def moment(time: bytes, zone: bytes) -> float | None:
        asked.append(time)
        return Clock("UTC").moment(time, zone)

    times = [f"01/Oct/2025:13:{n // 60:02}:{n % 60:02} +0000" for n in range(3600)]
    text = "".join(f"{line(time=time)}\n" for time in times).encode()
    batch, odd = Words([], COMMON_WORDS, moment).read(text)
    assert (len(batch), odd, asked) == (3600, [], [b"01/Oct/2025:13:00:00"])
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
    tally.add(Words([], COMMON_WORDS, clock.moment).read(text)[0])
    summary = Summary(["hour"])
    summary.merge(tally.packed())
    assert {entry.value: entry.count for entry in summary.tops["hour"].first()} == {
        "2025-10-01T18:00+05:45": 900,
        "2025-10-01T19:00+05:45": 2700,
    }
    assert (summary.first, summary.last) == (1759323600.0, 1759327199.0)
    assert len(looked_up) == 4
