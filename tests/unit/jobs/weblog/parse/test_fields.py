"""Lines of JSON with names that nobody knows, with headers as Caddy has them, and with nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.weblog.parse import objects, reader
from jobs.weblog.parse.fields import schema_of
from jobs.weblog.parse.words import OddTextError
from tests.unit.jobs.weblog.logs_made import counts, line, run
from tests.unit.jobs.weblog.test_one_meaning import both_ways, written

NEEDED = {"time": 1759323607, "client": "192.0.2.1"}


def caddy(headers: Any) -> str:
    """A line of Caddy."""
    request = {"remote_ip": "192.0.2.1", "method": "GET", "uri": "/", "headers": headers}
    return json.dumps({"ts": 1759323607.5, "request": request, "size": 10, "status": 200})


HEADERS = {
    "lists": ([{"User-Agent": ["curl/8", "b"], "Referer": ["/from"]}], "curl/8", "/from"),
    "texts": ([{"User-Agent": "curl/8", "Referer": "/from"}], "curl/8", "/from"),
    "a list and a text": ([{"User-Agent": ["curl/8"]}, {"User-Agent": "curl/8"}], "curl/8", "-"),
    "an empty list": ([{"User-Agent": []}], "-", "-"),
    "an empty list among others": ([{"Referer": ["/from"]}, {"Referer": []}], "-", "/from"),
    "an empty list first": ([{"Referer": []}, {"Referer": ["/from"]}], "-", "/from"),
    "a list of lists": ([{"User-Agent": [["curl/8"]]}], "-", "-"),
    "a list with a null": ([{"User-Agent": [None, "curl/8"]}], "-", "-"),
    "a null": ([{"User-Agent": None, "Referer": ["/from"]}], "-", "/from"),
    "no headers": ([None], "-", "-"),
    "headers that are a text": (["x"], "-", "-"),
    "headers that are a text once": (["x", {"User-Agent": ["curl/8"]}], "curl/8", "-"),
    "other headers": ([{"Vary": ["User-Agent", "Referer"], "X": [1, "2"]}], "-", "-"),
}


@pytest.mark.parametrize(("all_headers", "agent", "referrer"), HEADERS.values(), ids=HEADERS)
def test_the_first_value_of_a_header_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    all_headers: list[Any],
    agent: str,
    referrer: str,
) -> None:
    path = written(tmp_path / "a.log", [caddy(headers) for headers in all_headers])
    report = both_ways(monkeypatch, path)
    assert report.summary.requests == len(all_headers)
    for name, value in (("agent", agent), ("referrer", referrer)):
        assert counts(report, name).keys() <= {value, "-"}
        assert value in counts(report, name)


def test_a_header_that_comes_late_in_a_text_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_HEAD_BYTES", 10)
    texts = [caddy(headers) for headers in ({"A": ["b"]}, {"User-Agent": ["curl/8"]})]
    report = both_ways(monkeypatch, written(tmp_path / "a.log", list(texts)))
    assert counts(report, "agent") == {"-": 1, "curl/8": 1}


def test_a_field_of_our_own_counts_before_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = caddy({"User-Agent": ["curl/8"]})
    path = written(tmp_path / "a.log", [f'{text[:-1]}, "agent": "mine"}}', text])
    assert counts(both_ways(monkeypatch, path), "agent") == {"mine": 1, "curl/8": 1}


def test_names_that_nobody_knows_are_no_columns() -> None:
    headers = [{f"X-{n}": ["1"], "User-Agent": ["a"]} for n in range(100)]
    texts = [caddy(each) for each in headers]
    texts += [json.dumps({**json.loads(text), f"f{n}": {"a": n}}) for n, text in enumerate(texts)]
    schema = schema_of("".join(f"{text}\n" for text in texts).encode())
    assert set(schema.names) == {"ts", "request", "size", "status"}
    request = {field.name: field.type for field in schema.field("request").type}
    assert request.keys() == {"remote_ip", "method", "uri", "headers"}
    assert [field.name for field in request["headers"]] == ["User-Agent"]


@pytest.mark.parametrize("odd", ["[]", "1", '{"status": "x"}', "{", '{"client": "\xff"}'])
def test_a_text_with_a_line_unlike_the_others_is_odd(odd: str) -> None:
    with pytest.raises(OddTextError):
        schema_of(b'{"status": 1}\n' + odd.encode("latin-1") + b"\n")


def refused(*_: object) -> None:
    """Fails where many lines are read one by one."""
    raise AssertionError("lines are read one by one")


@pytest.mark.parametrize("blank", ["", "\r", "  ", " \t\r"])
def test_objects_with_blank_lines_between_them_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    path = written(tmp_path / "a.log", [json.dumps(NEEDED), blank] * 50)
    slowly = both_ways(monkeypatch, path).summary
    assert (slowly.requests, slowly.unparsable) == (50, 50)
    monkeypatch.setattr(reader.Objects, "read_lines", refused)
    assert run([path]).summary.requests == 50


def test_two_objects_in_a_line_are_no_request_also_beside_a_blank_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(NEEDED)
    path = written(tmp_path / "a.log", [text, f"{text} {text}", "", text])
    summary = both_ways(monkeypatch, path).summary
    assert (summary.requests, summary.unparsable) == (2, 2)


@pytest.mark.parametrize("short", ["", "{}", "[]", '{"ip":1}', "- - -"])
def test_no_pattern_and_no_decoder_looks_at_lines_that_are_too_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    monkeypatch.setattr(reader.Objects, "read_lines", refused)
    monkeypatch.setattr(reader, "read", refused)
    path = written(tmp_path / "a.log", [short] * 100_000)
    summary = run([path]).summary
    assert (summary.lines, summary.unparsable) == (100_000, 100_000)
    assert summary.samples == [short] * 20


def test_the_shortest_requests_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ['{"ip":1,"ts":0}', line(client="c", request="", size="-", rest="")]
    path = written(tmp_path / "a.log", list(texts))
    assert both_ways(monkeypatch, path).summary.requests == 2


def test_a_pattern_of_the_user_may_take_short_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", ["1 c", ""])
    summary = run([path], regex=r"(?P<time>\d) (?P<client>\w)").summary
    assert (summary.requests, summary.unparsable) == (1, 1)
