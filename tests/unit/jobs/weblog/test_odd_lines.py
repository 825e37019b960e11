"""Lines that are odd are counted right, and never disturb their neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.jobs.weblog.logs_made import counts, line, many, run

PLAIN = line()
ODD = {
    "IPv6": (line(client="2001:db8::1"), "client", "2001:db8::1"),
    "a quote in an agent": (line(rest=r' "-" "a \"b\" c"'), "agent", r"a \"b\" c"),
    "a quote in a request": (line(request=r"GET /\"x HTTP/1.1"), "path", r"/\"x"),
    "escaped bytes": (line(request=r"\x16\x03\x01"), "path", r"\x16\x03\x01"),
    "no request": (line(request="-", status="408"), "path", "-"),
    "a user with a space": (line(user="john doe"), "path", "/a"),
    "a path with spaces": (line(request="GET /a b c HTTP/1.1"), "path", "/a b c"),
    "HTTP/0.9": (line(request="GET /old"), "path", "/old"),
    "no bytes": (line(size="-"), "status", "200"),
    "more behind it": (line(rest=' "-" "agent" "203.0.113.9" 0.12'), "agent", "agent"),
    "common": (line(rest=""), "agent", "-"),
    "UTF-8": (line(request="GET /é HTTP/1.1"), "path", "/é"),
    "20 kB": (
        line(request=f"GET /{'x' * 20_000} HTTP/1.1"),
        "path",
        "…",
    ),
    "JSON": (
        '{"time": "2025-10-01T13:00:07Z", "remote_addr": "192.0.2.1", "request": "GET /j HTTP/1.1",'
        ' "status": 200, "bytes": 10}',
        "path",
        "/j",
    ),
}
BAD = [
    "garbage",
    "",
    line(time="32/Oct/2025:13:00:07 +0000"),
    line(time="01/Oct/2025:25:00:07 +0000"),
    line(time="01/Oct/2025:13:00:07 +9999x"),
    line(status="20"),
    line(size="ten"),
    '192.0.2.1 - - [01/Oct/2025:13:00:07 +0000] "GET /cut off',
    '{"time": "never", "remote_addr": "192.0.2.1"}',
    "{broken",
    "a\rb",
]


@pytest.mark.parametrize(("odd", "name", "value"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("alone", [True, False])
def test_an_odd_line_is_a_request(
    tmp_path: Path, odd: str, name: str, value: str, alone: bool
) -> None:
    around = [] if alone else many(200)
    path = tmp_path / "access.log"
    path.write_text("".join(f"{each}\n" for each in [*around, odd, *around]))
    report = run([path])
    assert report.summary.unparsable == 0, report.summary.samples
    assert report.summary.requests == 2 * len(around) + 1
    found = counts(report, name)
    if value == "…":
        (value,) = (text for text in found if "… [20,001 characters, SHA-256 " in text)
        assert len(value) < 300
    assert found[value] >= 1


@pytest.mark.parametrize("bad", BAD)
def test_a_line_that_is_no_request_is_counted_and_kept_as_a_sample(
    tmp_path: Path, bad: str
) -> None:
    path = tmp_path / "access.log"
    around = "".join(f"{each}\n" for each in many(200))
    path.write_text(f"{around}{bad}\n{around}", newline="")
    report = run([path])
    assert (report.summary.lines, report.summary.unparsable) == (401, 1)
    assert report.summary.samples == [bad]


def test_bytes_that_are_no_utf_8_count(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = [*many(50), line(request="GET /caf\xe9 HTTP/1.1"), "\xff\xfe", *many(50)]
    path.write_bytes("".join(f"{each}\n" for each in lines).encode("latin-1"))
    report = run([path])
    assert (report.summary.requests, report.summary.unparsable) == (101, 1)
    assert counts(report, "path")[r"/caf\xe9"] == 1


def test_crlf_ends_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    odd = line(rest=r' "-" "a \"b\" c"')
    path.write_text("".join(f"{each}\r\n" for each in [*many(50), odd]), newline="")
    report = run([path], range_bytes=500)
    assert (report.summary.requests, report.summary.unparsable) == (51, 0)
    assert set(counts(report, "agent")) == {"agent", r"a \"b\" c"}


def test_a_request_cannot_pretend_to_be_fields_of_the_log(tmp_path: Path) -> None:
    """Escaped quotes and spaces in a request that would make up another status."""
    request = r"GET /a\" 200 9 "
    path = tmp_path / "access.log"
    path.write_text(line(request=request, status="404", rest=' "-" "x"') + "\n")
    assert counts(run([path], by=["status"]), "status") == {"404": 1}


def test_the_format_that_is_asked_for_is_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(f"{line(rest='')}\n{line()}\n")
    assert run([path], format="combined").summary.unparsable == 1
    assert run([path], format="common").summary.unparsable == 0
    assert run([path], format="json").summary.unparsable == 2


def test_json_of_caddy_has_its_request_inside(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = [
        f'{{"ts": 1759323607.{n}, "request": {{"remote_ip": "192.0.2.{n}", "method": "GET",'
        f' "uri": "/{n}"}}, "status": 200, "size": {n}, "duration": 0.{n}}}\n'
        for n in range(10)
    ]
    path.write_text("".join(lines))
    report = run([path])
    assert report.summary.requests == 10
    assert counts(report, "path") == {f"/{n}": 1 for n in range(10)}
    assert report.summary.slowest.greatest()[0].amount == pytest.approx(0.9)


def test_a_pattern_of_the_user_reads_any_format(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("1759323607 192.0.2.1 /x 200 0.25\n1759323608 192.0.2.2 /x 200 1.5\nno\n")
    regex = r"(?P<time>\S+) (?P<client>\S+) (?P<path>\S+) (?P<status>\d+) (?P<seconds>[\d.]+)"
    report = run([path], regex=regex)
    assert (report.summary.requests, report.summary.unparsable) == (2, 1)
    assert report.summary.slowest.greatest()[0].amount == 1.5
    assert counts(report, "hour") == {"2025-10-01T13:00Z": 2}


def test_a_query_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("".join(line(request=f"GET /a?{n} HTTP/1.1") + "\n" for n in range(5)))
    assert counts(run([path], query=False), "path") == {"/a": 5}
