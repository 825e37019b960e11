"""`python -m bench.report`: writes docs/figures.md, all figures of the last runs on this machine.

It also writes the tables of other queues in the READMEs and in docs/performance.md, and there the
tables of some benchmarks. It reads what `make bench` and `make bench-peers` have left in
.cache/bench, and measures nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import tables
from .__main__ import BENCHMARKS
from .peers import summary
from .rig.processes import CACHE, ROOT
from .scale.chart import CHART

PAGE = ROOT / "docs" / "figures.md"
RESULTS, PEERS = "results.json", "peers.md"
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PERFORMANCE = ROOT / "docs" / "performance.md"
_MARK = "<!-- make figures: the rows below are of `make bench-peers` -->"

SECTIONS: dict[str, Callable[[Sequence[tables.Record]], list[str]]] = {
    "client": tables.lines,
    "executor": tables.lines,
    "percentiles": tables.grouped,
    "decades": tables.grouped,
}
"""The benchmarks that have a marked section of docs/performance.md, and the form of its tables."""

_HEAD = """# All figures

`make figures` writes this page: every row of `make bench`, and the tables of `make bench-peers`.
[performance.md](performance.md) says what the rows mean. A row without a range was measured once.
"""


def main() -> int:
    """Write the page and the tables; 1 when there are no figures yet."""
    peers = CACHE / PEERS
    if peers.exists():
        record = json.loads(peers.with_suffix(".json").read_text())
        for readme in READMES:
            readme.write_text(with_rows(readme.read_text(), list(summary.rows(record))))
        PERFORMANCE.write_text(with_tables(PERFORMANCE.read_text(), peers.read_text().strip()))
    results = CACHE / RESULTS
    if not results.exists():
        print(f"no figures in {results}: run `make bench` first", file=sys.stderr)
        return 1
    record = json.loads(results.read_text())
    PAGE.write_text(page(record, peers.read_text() if peers.exists() else ""))
    PERFORMANCE.write_text(with_sections(PERFORMANCE.read_text(), record))
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


def page(record: dict[str, Any], peers: str) -> str:
    """The page as Markdown. record: of results.json. peers: the lines of peers.md, or nothing."""
    day = time.strftime("%Y-%m-%d", time.gmtime(record["at"]))
    lines = [_HEAD, f"- measured on {day}"]
    lines += [f"- {what}: {text}" for what, text in record["machine"].items()]
    for name, figures in record["benchmarks"].items():
        lines += ["", f"## {BENCHMARKS[name][0]} (`{name}`)", "", *tables.lines(figures)]
    if peers:
        lines += ["", "## Other queues (`make bench-peers`)", "", peers.rstrip()]
    return "\n".join(lines) + "\n"


def with_rows(text: str, rows: list[str]) -> str:
    """A text whose marked table has these rows. Its two lines of header stay.

    Raises ValueError if the text has no such mark.
    """
    before, after = _marked(text)
    head, rest = after[:2], after[2:]
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    return "\n".join([*before, *head, *rows, *rest]) + "\n"


def with_tables(text: str, found: str, mark: str = _MARK) -> str:
    """A text that has these lines between its mark and the next heading. Raises as `with_rows`."""
    before, rest = _marked(text, mark)
    while rest and not rest[0].startswith("#"):
        rest.pop(0)
    return "\n".join([*before, "", found, "", *rest]) + "\n"


def with_sections(text: str, record: dict[str, Any]) -> str:
    """A text whose marked sections have the figures of their benchmarks, as far as there are some.

    record: of results.json. Raises as `with_rows`.
    """
    measured = time.strftime("%Y-%m-%d", time.gmtime(record["at"]))
    machine = f"{record['machine']['CPU']}, Python {record['machine']['Python']}"
    for name, form in SECTIONS.items():
        if name in record["benchmarks"]:
            found = [f"Measured on {measured}: {machine}.", "", *form(record["benchmarks"][name])]
            if name == "decades" and CHART.exists():
                found += ["", f"![The figures of decades as curves]({CHART.name})"]
            text = with_tables(text, "\n".join(found), mark_of(name))
    return text


def mark_of(benchmark: str) -> str:
    """The line of docs/performance.md below which the figures of a benchmark are."""
    return f"<!-- make figures: the rows below are of `make bench NAMES={benchmark}` -->"


def _marked(text: str, mark: str = _MARK) -> tuple[list[str], list[str]]:
    """The lines up to the mark, with it, and the lines behind it."""
    lines = text.splitlines()
    end = lines.index(mark) + 1
    return lines[:end], lines[end:]


if __name__ == "__main__":
    sys.exit(main())
