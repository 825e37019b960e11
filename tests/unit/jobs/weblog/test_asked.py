"""Arguments: wrong ones are one line, and times mean what they say."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest

import jobs.weblog.parse
from jobs.logs import run_key, tasks
from jobs.weblog.asked import By, Paths, Regex, Zone, moment_of
from jobs.weblog.parse.patterns import BadPatternError, check, read, whole
from jobs.weblog.parse.times import Clock


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Paths, ""),
        (Paths, "'no end"),
        (By, ""),
        (By, "status,colour"),
        (Zone, "Mars"),
        (Zone, "../x"),
        (Regex, "("),
        (Regex, "(?P<client>x)"),
        (Regex, "(?P<client>x)(?P<time>x)(?P<colour>x)"),
        (Regex, "(?P<client>x)(?P<time>x)(y)"),
        (Regex, "(?P<client>x)(?P<time>x)(?=y)"),
    ],
)
def test_a_wrong_value_is_refused(kind: type[str], wrong: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        kind(wrong)


def test_a_group_without_a_name_is_refused_where_re2_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jobs.weblog.parse.patterns", None)
    monkeypatch.delattr(jobs.weblog.parse, "patterns")
    with pytest.raises(ValueError, match="a group without a name"):
        Regex("(?P<client>x)(?P<time>x)(y)")
    assert Regex("(?P<client>x)(?P<time>x)(?:y)")


def test_paths_may_have_spaces_in_quotes() -> None:
    assert Paths("/a/b* '/c d/e'").patterns() == ["/a/b*", "/c d/e"]


def test_lists_have_one_order() -> None:
    assert By("path, status,path").names() == ["status", "path"]


def test_a_pattern_that_re2_does_not_know_is_refused() -> None:
    with pytest.raises(BadPatternError, match="the regex can't be used"):
        check("(?=x)")


@pytest.mark.parametrize("greedy", ["(?:a+)+", "(?:a|a)*", "(?:.*a){20}", "(?:a*)*b?"])
def test_no_pattern_takes_long_for_a_line_that_does_not_match(greedy: str) -> None:
    pattern = Regex(f"(?P<client>{greedy}) (?P<time>x)")  # Python's own `re` would take years
    batch = read([b"a" * 100_000], whole(pattern), Clock("UTC").moment)
    assert len(batch.unparsable) == 1


def test_a_pattern_that_needs_much_memory_is_refused() -> None:
    with pytest.raises(BadPatternError, match=r"invalid repetition size"):
        Regex("(?P<client>(?:(?:a{1,1000}){1,1000}){1,1000})(?P<time>x)")


@pytest.mark.parametrize("more", [r"\pL+", r"(?<path>\S+)", r"\Q[a]\E\z"])
def test_a_pattern_that_only_re2_knows_is_taken(more: str) -> None:
    Regex(f"(?P<client>x)(?P<time>x){more}")
    with pytest.raises(ValueError, match=r".*"):
        Regex(f"(?P<client>x)(?P<time>x){more}[")


@pytest.mark.parametrize("until", ["2025-10-01", "2025-09-30"])
def test_a_time_that_ends_before_it_begins_is_refused(until: str, tmp_path: Path) -> None:
    since, until_then = datetime(2025, 10, 1), datetime.fromisoformat(until)
    with pytest.raises(ValueError, match="is not before until="):
        next(tasks(Paths("/a"), since=since, until=until_then, out=str(tmp_path)))
    with pytest.raises(ValueError, match="is not before until="):  # a submit asks for the key
        run_key(since, until_then, "UTC")


def test_a_time_without_a_zone_is_in_the_zone_of_the_run() -> None:
    noon = datetime(2025, 7, 1, 12)
    assert moment_of(noon, "Europe/Berlin") == 1751364000.0
    assert (
        moment_of(datetime.fromisoformat("2025-07-01T12:00:00Z"), "Europe/Berlin") == 1751371200.0
    )


@pytest.mark.parametrize(
    ("time", "zone", "moment"),
    [
        (b"10/Oct/2000:13:55:36", b"-0700", 971211336.0),
        (b"10/Oct/2000:13:55:36 -0700", b"", 971211336.0),
        (b"2000-10-10T20:55:36Z", b"", 971211336.0),
        (b"2000-10-10T22:55:36+02:00", b"", 971211336.0),
        (b"2000-10-10 13:55:36", b"-0700", 971211336.0),
        (b"971211336", b"", 971211336.0),
        (b"971211336000", b"", 971211336.0),
        (b"1759323607123", b"", 1759323607.123),
        (b"1759323607123456", b"", 1759323607.123456),
        (b"1759323607123456789", b"", 1759323607.123456789),
        (b"1.759323607123e+12", b"", 1759323607.123),
        (b"20251001130007000000", b"", None),
        (b"971211336.5", b"", 971211336.5),
        (b"19880899199", b"", 19880899199.0),  # the last second of 2599
        (b"2600-01-01T00:00:00Z", b"", None),
        (b"31/Dec/2599:23:59:59", b"+0000", 19880899199.0),
        (b"01/Jan/2600:00:00:00", b"+0000", None),
        (b"31/Dec/9999:23:59:59", b"-9900", None),
        (b"9999-12-31T23:59:59-23:00", b"", None),
        (b"0001-01-01T00:00:00", b"+0100", None),
        (b"1970-01-01T00:00:00Z", b"", 0.0),
        (b"31/Dec/1969:23:59:59", b"+0000", None),
        (b"31/Dec/2016:23:59:60", b"+0000", 1483228800.0),  # a leap second
        (b"30/Feb/2000:13:55:36", b"+0000", None),
        (b"10/Okt/2000:13:55:36", b"+0000", None),
        (b"10/Oct/2000:13:61:36", b"+0000", None),
        (b"10/Oct/2000 13:55:36", b"+0000", None),
        (b"10/Oct/2000:13:55:36", b"", None),
        (b"10/Oct/2000:13:55:36", b"-07:00", None),
        (b"yesterday", b"", None),
        (b"", b"", None),
    ],
)
def test_what_a_time_means(time: bytes, zone: bytes, moment: float | None) -> None:
    assert Clock("UTC").moment(time, zone) == moment
