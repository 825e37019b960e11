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

from . import machine, results, tables
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
    "throughput": tables.lines,
    "idle": tables.lines,
    "growth": tables.grouped,
    "keys": tables.lines,
    "singles": tables.lines,
    "start": tables.lines,
    "client": tables.lines,
    "executor": tables.lines,
    "shell": tables.lines,
    "postgres": tables.grouped,
    "postgres-latency": tables.lines,
    "postgres-bloat": tables.lines,
    "takeover": tables.lines,
    "percentiles": tables.grouped,
    "decades": tables.grouped,
    "crawling": tables.lines,
    "page": tables.lines,
    "looking": tables.lines,
    "mail": tables.lines,
    "logs": tables.lines,
    "logs-workers": tables.lines,
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
    found = results.load(CACHE / RESULTS)
    if not found:
        print(f"no figures in {CACHE / RESULTS}: run `make bench` first", file=sys.stderr)
        return 1
    PAGE.write_text(page(found, peers.read_text() if peers.exists() else ""))
    PERFORMANCE.write_text(with_sections(PERFORMANCE.read_text(), found))
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


def page(found: dict[str, results.Measured], peers: str) -> str:
    """The page as Markdown. found: by benchmark. peers: the lines of peers.md, or nothing.

    The machine of the newest figures is at the top. A benchmark that was measured on another day
    or machine says so.
    """
    newest = _origin(max(found.values(), key=lambda each: float(each["at"])))
    lines = [_HEAD, *newest]
    for name in sorted(found, key=list(BENCHMARKS).index):
        lines += ["", f"## {BENCHMARKS[name][0]} (`{name}`)", ""]
        own = [line for line in _origin(found[name]) if line not in newest]
        lines += [*own, ""] if own else []
        lines += tables.lines(found[name]["figures"])
    if peers:
        lines += ["", "## Other queues (`make bench-peers`)", "", peers.rstrip()]
    return "\n".join(lines) + "\n"


def _origin(each: results.Measured) -> list[str]:
    """The day and the machine of figures, a line each."""
    return [
        f"- measured on {_day(each)}",
        *(f"- {what}: {text}" for what, text in each["machine"].items()),
    ]


def _day(each: results.Measured) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(each["at"]))


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


def with_sections(text: str, found: dict[str, results.Measured]) -> str:
    """A text whose marked sections have the figures of their benchmarks, as far as there are some.

    found: by benchmark. Raises as `with_rows`.
    """
    for name, form in SECTIONS.items():
        if name not in found:
            continue
        each = found[name]
        lines = [f"Measured on {_day(each)}: {_machine(each)}.", "", *form(each["figures"])]
        if name == "decades" and CHART.exists():
            lines += ["", f"![The figures of decades as curves]({CHART.name})"]
        text = with_tables(text, "\n".join(lines), mark_of(name))
    return text


def _machine(each: results.Measured) -> str:
    """The machine in a few words, with its speed if that is known."""
    known = each["machine"]
    words = [known["CPU"], f"Python {known['Python']}"]
    words += [f"{what} takes {text}" for what, text in known.items() if what == machine.LOOP]
    return ", ".join(words)


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
