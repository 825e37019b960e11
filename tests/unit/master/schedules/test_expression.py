"""The slots of an expression: each local time once, whatever the clocks of its zone do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from master.schedules.expression import Slots
from queue_manager.errors import RefusedError

BERLIN, CHATHAM = "Europe/Berlin", "Pacific/Chatham"
TROLL, LORD_HOWE = "Antarctica/Troll", "Australia/Lord_Howe"
ZONES = [BERLIN, CHATHAM, TROLL, LORD_HOWE]
EXPRESSIONS = ["30 2 * * *", "*/30 * * * *", "0 * * * *", "15 */2 * * *", "5,50 1-3 * * *"]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def texts(expression: str, zone: str, day: str, hours: float = 24) -> list[str]:
    """The slots of some hours from a moment on, in UTC."""
    slots, at = Slots(expression, zone), moment(f"{day}Z") - 1
    until, found = at + hours * 3_600, []
    while (at := slots.after(at)) <= until:
        found.append(datetime.fromtimestamp(at, UTC).strftime("%dT%H:%M"))
    return found


@pytest.mark.parametrize(
    ("zone", "expression", "day", "expected"),
    [
        # Berlin: 02:00 becomes 03:00 on 29 March, 03:00 becomes 02:00 on 25 October.
        (BERLIN, "30 2 * * *", "2026-03-28T00:00", ["28T01:30", "29T01:30", "30T00:30"]),
        (BERLIN, "30 2 * * *", "2026-10-24T00:00", ["24T00:30", "25T00:30", "26T01:30"]),
        # Chatham: 02:45 becomes 03:45 on 27 September, 03:45 becomes 02:45 on 5 April.
        (CHATHAM, "0 3 * * *", "2026-09-25T00:00", ["25T14:15", "26T14:15", "27T13:15"]),
        (CHATHAM, "0 3 * * *", "2026-04-03T00:00", ["03T13:15", "04T13:15", "05T14:15"]),
        # Troll: 01:00 becomes 03:00 on 29 March, 03:00 becomes 01:00 on 25 October.
        (TROLL, "30 1 * * *", "2026-03-28T00:00", ["28T01:30", "29T01:30", "29T23:30", "30T23:30"]),
        (TROLL, "30 2 * * *", "2026-10-24T00:00", ["24T00:30", "25T00:30", "26T02:30"]),
        # Lord Howe: 02:00 becomes 02:30 on 4 October, 02:00 becomes 01:30 on 5 April.
        (LORD_HOWE, "15 2 * * *", "2026-10-02T00:00", ["02T15:45", "03T15:45", "04T15:15"]),
        (LORD_HOWE, "45 1 * * *", "2026-04-03T00:00", ["03T14:45", "04T14:45", "05T15:15"]),
    ],
)
def test_a_local_time_of_a_gap_or_an_overlap_runs_once(
    zone: str, expression: str, day: str, expected: list[str]
) -> None:
    assert texts(expression, zone, day, 72) == expected


@pytest.mark.parametrize(
    ("zone", "days"), [(BERLIN, (29, 3)), (BERLIN, (25, 10)), (TROLL, (29, 3))]
)
def test_an_expression_of_all_hours_counts_real_minutes(zone: str, days: tuple[int, int]) -> None:
    slots = Slots("*/30 * * * *", zone)
    at = first = datetime(2026, days[1], days[0] - 1, tzinfo=UTC).timestamp()
    for step in range(1, 120):
        at = slots.after(at)
        assert at == first + step * 1_800


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_slots_are_those_that_a_look_at_each_local_time_finds(expression: str, zone: str) -> None:
    """Around the changes of the year's clocks, forwards and backwards."""
    slots, zoned = Slots(expression, zone), ZoneInfo(zone)
    whole = len(set(CronSim(expression, datetime(2026, 1, 1)).hours)) == 24
    days = [datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 9, 10)]
    for start in days:
        low, high = start.timestamp(), (start + timedelta(days=35)).timestamp()
        expected = set()
        for local in CronSim(expression, start.replace(tzinfo=None) - timedelta(days=1)):
            first, second = (local.replace(tzinfo=zoned, fold=f).timestamp() for f in (0, 1))
            expected |= {first} | ({second} if whole and second > first else set())
            if first > high + 86_400:
                break
        found, at = [], low
        while (at := slots.after(at)) <= high:
            found.append(at)
        assert found == sorted(slot for slot in expected if low < slot <= high)
        assert slots.newest(low, high, 100_000) == (found, False)


@pytest.mark.parametrize("zone", ZONES)
def test_before_is_the_way_back_of_after(zone: str) -> None:
    chance = random.Random(zone)
    for expression in EXPRESSIONS:
        slots = Slots(expression, zone)
        for _ in range(40):
            at = moment("2026-01-01T00:00Z") + chance.random() * 365 * 86_400
            later = slots.after(at)
            assert later > at
            assert slots.before(later) == later
            assert slots.before(later - 1) <= at


def test_only_the_newest_of_many_slots_are_calculated() -> None:
    found, more = Slots("* * * * *", "UTC").newest(0.0, moment("2026-05-05T05:05:30Z"), 2)
    assert found == [moment("2026-05-05T05:04Z"), moment("2026-05-05T05:05Z")]
    assert more


def test_words_stand_for_expressions() -> None:
    assert texts("@daily", BERLIN, "2026-07-01T00:00") == ["01T22:00"]


@pytest.mark.parametrize(
    ("expression", "zone", "line"),
    [
        ("0 3 * *", "UTC", "'0 3 * *' is no cron expression: it has five fields"),
        ("0 0 3 * * *", "UTC", "it has five fields"),
        ("", "UTC", "it has five fields"),
        ("60 3 * * *", "UTC", "its minute is wrong"),
        ("0 3 * * 9", "UTC", "its day-of-week is wrong"),
        ("0 3 * * x\n", "UTC", "its day-of-week is wrong"),
        ("0 3 30 2 *", "UTC", "'0 3 30 2 *' never comes: its months have no such day"),
        ("0 3 31 2,4 *", "UTC", "never comes: its months have no such day"),
        ("0 3 32 2 *", "UTC", "its day-of-month is wrong"),
        ("0 3 1 13 *", "UTC", "its month is wrong"),
        ("0 3 * * *", "Europe/Berlim", "is no time zone: take a name such as Europe/Berlin"),
        ("0 3 * * *", "../../etc/passwd", "is no time zone"),
        ("0 3 * * *", "", "is no time zone"),
    ],
)
def test_a_wrong_expression_is_one_line(expression: str, zone: str, line: str) -> None:
    with pytest.raises(RefusedError) as caught:
        Slots(expression, zone)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
