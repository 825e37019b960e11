"""What a run leaves: a table, CSV, JSON and a page, in which nothing of a client's can act."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jobs import logs
from jobs.output import words
from jobs.weblog import work
from jobs.weblog.asked import NAMES, By, Zone
from jobs.weblog.count.summary import Summary
from jobs.weblog.count.tops import Entries, Entry
from jobs.weblog.show import page, report, table
from jobs.weblog.show.report import Report
from tests.unit.jobs.weblog.logs_made import asked, line, many, run

REPO = Path(__file__).resolve().parents[5]
EVIL = "/<script>alert(1)</script>'\"&"


class Reading(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def written(folder: Path, lines: list[str], lost: int = 0) -> tuple[Path, str]:
    """The folder of a report, and the table; `lost` ranges have failed."""
    path = folder / "access.log"
    path.write_text("".join(f"{each}\n" for each in lines))
    payload = {"patterns": [str(path)], "asked": asked(range_bytes=2000).packed()}
    plan = work.plan_run(payload)
    tasks = list(plan.follow)[lost:]
    results = [(payload, plan.value)]
    results += [(task.payload, work.count_range(task.payload)) for task in tasks]
    again = [*results, results[-1]]  # a range that comes twice counts once
    out = folder / "out"
    return out, report.write(again, str(out), asked().by, 5, "UTC")


def test_all_forms_say_the_same(tmp_path: Path) -> None:
    out, text = written(tmp_path, many(300))
    data = json.loads((out / "report.json").read_text())
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert data["requests"] == 300
    assert "300 lines of 1 file: 300 requests, 0 unparsable" in text
    statuses = {row["value"]: int(row["requests"]) for row in rows if row["list"] == "status"}
    assert sum(statuses.values()) == 300
    assert statuses == {row["value"]: row["requests"] for row in data["lists"]["status"]["rows"]}
    assert len(data["lists"]["path"]["rows"]) == 5
    assert data["lists"]["path"]["others"] > 0
    shown = (out / "index.html").read_text()
    assert f'<td class="n">{statuses["200"]:,}</td>' in shown
    assert (out / "report.txt").read_text() in text
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("name", ["report.txt", "report.json"])
def test_a_file_that_cannot_be_written_is_one_line_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    with pytest.raises(report.NotWrittenError):
        logs.finish(iter([]), str(out), By("status"), 5, Zone("UTC"))
    assert capsys.readouterr().out == f"logs: {out / name} can't be written: Is a directory\n"


def test_a_folder_with_a_page_of_another_is_one_line_at_the_end_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("<h1>My page</h1>")
    with pytest.raises(report.NotWrittenError, match="name another folder"):
        logs.finish(iter([]), str(tmp_path), By("status"), 5, Zone("UTC"))
    said = capsys.readouterr().out
    assert (said.startswith("logs: out="), said.count("\n")) == (True, 1)


def test_the_numbers_of_a_list_on_the_page_add_up_to_all_requests(tmp_path: Path) -> None:
    lines = [line(request=f"GET /{n} HTTP/1.1") for n in range(300)]
    (tmp_path / "access.log").write_text("".join(f"{each}\n" for each in lines))
    found = run([tmp_path / "access.log"])
    html = page.html_of(found, report.as_data(found))
    assert "By path: the first 50 of 300" in html
    assert "All others together: 250." in html


def test_answers_are_told_by_their_class(tmp_path: Path) -> None:
    statuses = ["200"] * 5 + ["404"] * 3 + ["500", "503", "-", "999"]
    made = "".join(
        f'{{"client":"192.0.2.1","time":1759323600,"status":"{status}"}}\n' for status in statuses
    )
    (tmp_path / "access.log").write_text(made)
    found = run([tmp_path / "access.log"])
    classes = {"-": 1, "2xx": 5, "4xx": 3, "5xx": 2, "9xx": 1}
    assert report.as_data(found)["by_status_class"] == classes
    span = "2025-10-01 13:00:00 to 2025-10-01 13:00:00 UTC; 3 with 4xx, 2 with 5xx"
    assert f"{span}; most in an hour: 12 at 2025-10-01T13:00Z\n" in table.text_of(found)


def test_without_lists_of_statuses_and_hours_the_report_says_nothing_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "access.log").write_text(f"{line()}\n")
    found = run([tmp_path / "access.log"], by=["path"])
    data = report.as_data(found)
    assert data["by_status_class"] == {}
    assert "most in an hour" not in table.text_of(found) + page.html_of(found, data)


def test_the_terminal_has_the_last_hours_in_order(tmp_path: Path) -> None:
    times = [f"{1 + n // 24:02}/Oct/2025:{n % 24:02}:30:00 +0000" for n in range(30)]
    (tmp_path / "access.log").write_text("".join(f"{line(time=time)}\n" for time in times))
    text = table.text_of(run([tmp_path / "access.log"], by=["hour"]))
    _, hours = text.split("\nhour (the last 10 of 30) ")
    assert [row.split()[0] for row in hours.splitlines()[1:]] == [
        f"2025-10-{1 + n // 24:02}T{n % 24:02}:00Z" for n in range(20, 30)
    ]


def test_the_table_and_the_page_have_as_many_values_as_the_documents_say() -> None:
    said = " ".join((REPO / "docs" / "logs.md").read_text().split())
    for words_of_it in (
        f"`report.txt` has the first {table._ROWS} of them and the last {table._ROWS} hours",
        f"`index.html` has at most the first {page._ROWS}",
        ", ".join(f"`{name}`" for name in NAMES) + ", always in this order",
    ):
        assert words_of_it in said


def test_each_file_has_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(f"{each}\n" for each in many(300)))
    (tmp_path / "b.log").write_text(f"{line()}\ngarbage\n")
    found = run([tmp_path / "*.log"], range_bytes=2000)
    data = report.as_data(found)
    first, second = data["by_file"]
    assert (first["path"], first["lines"]) == (f"{tmp_path}/a.log", 300)
    sums = {"lines": 2, "requests": 1, "unparsable": 1, "bytes": 10}
    assert second == {"path": f"{tmp_path}/b.log", **sums}
    assert f">{tmp_path}/b.log</th>" in page.html_of(found, data)


def test_nothing_that_a_client_sent_is_a_tag_of_the_page(tmp_path: Path) -> None:
    lines = [line(request=f"GET {EVIL} HTTP/1.1".replace('"', '\\"'), rest=f' "{EVIL[:20]}" "<b>"')]
    out, _ = written(tmp_path, [*lines, "<img src=x onerror=alert(1)>"])
    reading = Reading()
    reading.feed((out / "index.html").read_text())
    assert not {"script", "img", "b"} & set(reading.tags)
    assert {"svg", "rect", "table"} <= set(reading.tags)
    assert "<script>alert(1)</script>" in reading.text


def test_a_spreadsheet_runs_no_value_of_the_csv(tmp_path: Path) -> None:
    out, _ = written(tmp_path, [line(rest=' "-" "=HYPERLINK(1)"')])
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert [row["value"] for row in rows if row["list"] == "agent"] == ["'=HYPERLINK(1)"]


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        ("-", "-"),
        ("+1", "'+1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("\r=1", "\\r=1"),
        ("\n@a", "\\n@a"),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_the_csv_has_neither_formulas_nor_control_characters(sent: str, safe: str) -> None:
    summary = Summary(["agent"])
    summary.requests = 1
    summary.tops["agent"].merge(Entries.of([Entry(sent, 1, 0, 10)]), 0)
    (_, row) = report._csv(Report(summary, 1, 1, 1, 100, "UTC")).split("\r\n")[:-1]
    assert next(csv.reader([row])) == ["agent", safe, "1", "1", "10"]


def test_hours_are_in_the_order_of_time_when_the_clocks_go_back(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    times = [f"26/Oct/2025:{hour:02}:30:00 +0000" for hour in range(4)]
    path.write_text("".join(f"{line(time=time)}\n" for time in times))
    found = run([path], zone="Europe/Berlin")
    hours = [
        "2025-10-26T02:00+02:00",
        "2025-10-26T02:00+01:00",
        "2025-10-26T03:00+01:00",
        "2025-10-26T04:00+01:00",
    ]
    rows = report.as_data(found)["lists"]["hour"]["rows"]
    assert [row["value"] for row in rows] == hours
    _, text = table.text_of(found).split("\nhour ")
    assert [text.index(hour) for hour in hours] == sorted(text.index(hour) for hour in hours)
    chart, sent = page._over_time(page._by_begin(rows), "Europe/Berlin")
    assert [column.name for column in chart.columns] == [hour.replace("T", " ") for hour in hours]
    assert sent == [10] * 4


def test_a_run_of_empty_files_alone_is_whole(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("")
    found = run([tmp_path / "access.log"])
    assert (found.planned, found.missing) == (0, "")
    assert report._merged([], asked().by, 100, "UTC").missing.startswith("NOT WHOLE")


def test_a_report_without_some_ranges_says_so_first(tmp_path: Path) -> None:
    out, text = written(tmp_path, many(300), lost=2)
    assert text.startswith("NOT WHOLE: ")
    assert "NOT WHOLE" in (out / "index.html").read_text()


def test_a_run_without_a_request_has_a_report(tmp_path: Path) -> None:
    out, text = written(tmp_path, ["garbage"])
    assert "1 lines of 1 file: 0 requests, 1 unparsable" in text
    assert "garbage" in (out / "index.html").read_text()


def test_the_table_cannot_move_the_cursor_of_a_terminal() -> None:
    assert words.printable("a\x1b[2J\u202eb") == "a\\x1b[2J\\u202eb"
