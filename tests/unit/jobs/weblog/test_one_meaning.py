"""A line means the same whether it is read among many like it or on its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.weblog.parse import objects, reader
from jobs.weblog.show import report as shown
from jobs.weblog.show.report import Report, as_data
from tests.unit.jobs.weblog.logs_made import counts, line, run

START = '{"time": "2025-10-01T13:00:07Z", "client": "192.0.2.1", '


def written(path: Path, lines: list[str | bytes]) -> Path:
    texts = [text if isinstance(text, bytes) else text.encode() for text in lines]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return path


def both_ways(monkeypatch: pytest.MonkeyPatch, path: Path, **more: object) -> Report:
    """The report of a file, which is the same if every line is looked at on its own."""
    found = run([path], **more)
    with monkeypatch.context() as patch:
        patch.setattr(reader.Words, "read", refused)
        patch.setattr(reader.Objects, "read", refused)
        slowly = as_data(run([path], **more))
    fast = as_data(found)
    assert fast == slowly
    assert json.dumps(fast, allow_nan=False)
    return found


def refused(*_: object) -> None:
    """What a reader of many lines says of a text that is odd."""
    raise reader.OddTextError("odd")


WORDS = {
    "a word without quotes": (line(rest=" 0.12"), "-", 3),
    "two words without quotes": (line(rest=" 0.12 xyz"), "-", 3),
    "an agent without quotes": (line(rest=' "-" xyz'), "-", 3),
    "quotes and words behind them": (line(rest=' "-" "a" 0.12 "b" c'), "a", 3),
    "a request without quotes": ("192.0.2.1 - - [01/Oct/2025:13:00:07 +0000] GET 200 1", "-", 0),
    "no agent": (line(rest=""), "-", 3),
    "more than a petabyte": (line(size=str((1 << 50) + 1)), "-", 0),
    "a petabyte": (line(size=str(1 << 50)), "agent", 3),
}


@pytest.mark.parametrize(("text", "agent", "requests"), WORDS.values(), ids=WORDS)
def test_words_in_quotes_are_told_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, agent: str, requests: int
) -> None:
    report = both_ways(monkeypatch, written(tmp_path / "a.log", [text] * 3))
    assert report.summary.requests == requests
    assert counts(report, "agent") == ({agent: 3} if requests else {})


def test_lines_with_and_without_quotes_keep_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(rest=' "-" "a"')] * 5 + [line(rest=" 0.1 b")] * 4 + ["garbage"] * 2
    for order in (lines, lines[::-1]):
        report = both_ways(monkeypatch, written(tmp_path / "a.log", order))
        assert counts(report, "agent") == {"a": 5, "-": 4}


def test_the_combined_format_needs_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.log", [line(rest=" 0.12 xyz")])
    assert both_ways(monkeypatch, path, format="combined").summary.unparsable == 1


@pytest.mark.parametrize("host", ["www.example.com:443 ", "192.0.2.80:80 ", "[2001:db8::1]:443 "])
def test_a_virtual_host_is_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    lines = [host + line(client=f"198.51.100.{n}") for n in range(5)]
    report = both_ways(monkeypatch, written(tmp_path / "a.log", lines))
    assert counts(report, "client") == {f"198.51.100.{n}": 1 for n in range(5)}


@pytest.mark.parametrize("count", [1, 3, 5000])
def test_a_large_text_of_odd_lines_is_cut_into_smaller_ones(tmp_path: Path, count: int) -> None:
    texts = [line(request=f"GET /{'x' * (100_000 // count)} a HTTP/1.1", user="j d")] * count
    assert run([written(tmp_path / "a.log", texts)]).summary.requests == count


def test_an_address_with_colons_is_no_virtual_host(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", [line(client="2001:db8::1", user="john doe")])
    assert counts(run([path]), "client") == {"2001:db8::1": 1}


def test_a_cr_within_a_line_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the empty line there would be as many lines as line ends.
    path = written(tmp_path / "a.log", [f"{line()}\r{line()}", "", line()])
    report = both_ways(monkeypatch, path)
    assert (report.summary.lines, report.summary.requests) == (3, 2)


OBJECTS = {
    "a null before a value": (['"path": null, "uri": "/b"'], {"/b": 1}, 1),
    "a null": (['"path": null, "status": 200'], {"-": 1}, 1),
    "an object for a path": (['"path": {"a": 1}'], {"-": 1}, 1),
    "a list for a path, and a text": (['"path": ["/x"], "uri": "/b"'], {"/b": 1}, 1),
    "a list in one line": (['"path": "/a"', '"path": ["/x"]'], {"/a": 1, "-": 1}, 2),
    "true": (['"path": true'], {"true": 1}, 1),
    "a whole float": (['"path": "/a", "bytes": 10.0'], {"/a": 1}, 1),
    "whole and other numbers": (['"bytes": 10', '"bytes": 10.0', '"bytes": 1e2'], {"-": 3}, 3),
    "no whole number": (['"bytes": 10.5'], {}, 0),
    "within a request": (['"request": {"uri": "/i"}, "uri": null'], {"/i": 1}, 1),
    "infinity": (['"path": "/a", "seconds": "inf"', '"seconds": "1e999"'], {"/a": 1, "-": 1}, 2),
    "a lone surrogate": ([r'"path": "\ud800"'], {}, 0),
    "twice": (['"path": "/a", "path": "/b"'], {"/b": 1}, 1),
}


@pytest.mark.parametrize(("rests", "paths", "requests"), OBJECTS.values(), ids=OBJECTS)
def test_values_of_json_mean_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rests: list[str],
    paths: dict[str, int],
    requests: int,
) -> None:
    path = written(tmp_path / "a.log", [f"{START}{rest}}}" for rest in rests])
    report = both_ways(monkeypatch, path)
    assert (report.summary.requests, counts(report, "path")) == (requests, paths)


@pytest.mark.parametrize("name", ["client", "time"])
def test_an_object_without_a_client_or_a_time_is_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    good = {"client": "192.0.2.1", "time": "2025-10-01T13:00:07Z"}
    lines: list[str | bytes] = [json.dumps(good), json.dumps({**good, name: None})]
    report = both_ways(monkeypatch, written(tmp_path / "a.log", lines * 3))
    assert (report.summary.requests, report.summary.unparsable) == (3, 3)
    assert counts(report, "client") == {"192.0.2.1": 3}


@pytest.mark.parametrize("late", ['"uri": "/b"', '"request": {"uri": "/b"}', '"path": "/b"'])
@pytest.mark.parametrize("early", ['"status": 200', '"path": null', '"path": "/a"'])
def test_a_field_that_comes_late_in_a_text_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: str, late: str
) -> None:
    monkeypatch.setattr(objects, "_HEAD_BYTES", 10)
    path = written(tmp_path / "a.log", [f"{START}{rest}}}" for rest in (early, late)])
    assert counts(both_ways(monkeypatch, path), "path")["/b"] == 1


def test_a_byte_of_json_that_is_no_utf_8_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.log", [START.encode() + b'"path": "/caf\xe9"}', b'{"\xff'])
    report = both_ways(monkeypatch, path)
    assert counts(report, "path") == {r"/caf\xe9": 1}
    assert report.summary.unparsable == 1


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_json_of_any_depth_ends_no_process(tmp_path: Path, begin: str, end: str) -> None:
    deep = f'{START}"path": "/a", "x": {begin * 50_000}1{end * 50_000}}}'
    report = run([written(tmp_path / "a.log", [f'{START}"path": "/b"}}', deep])])
    assert (report.summary.lines, counts(report, "path")) == (2, {"/b": 1})


def test_seconds_are_shown_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", [f'{START}"seconds": 0.12}}'])
    slowest = shown.as_data(run([path]))["slowest"]
    assert slowest["requests"][0]["seconds"] == slowest["quantiles"]["median"] == 0.12
