"""`python -m bench.report`: writes docs/figures.md, all figures of the last runs on this machine.

It also writes the tables of other queues in the READMEs and in docs/performance.md. It reads what
`make bench` and `make bench-peers` have left in .cache/bench, and measures nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .__main__ import BENCHMARKS
from .figure import short
from .peers import summary
from .rig.processes import CACHE, ROOT

PAGE = ROOT / "docs" / "figures.md"
RESULTS, PEERS = "results.json", "peers.md"
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PERFORMANCE = ROOT / "docs" / "performance.md"
_MARK = "<!-- make figures: the rows below are of `make bench-peers` -->"

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
    text = page(json.loads(results.read_text()), peers.read_text() if peers.exists() else "")
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


def page(record: dict[str, Any], peers: str) -> str:
    """The page as Markdown. record: of results.json. peers: the lines of peers.md, or nothing."""
    day = time.strftime("%Y-%m-%d", time.gmtime(record["at"]))
    lines = [_HEAD, f"- measured on {day}"]
    lines += [f"- {what}: {text}" for what, text in record["machine"].items()]
    for name, figures in record["benchmarks"].items():
        lines += ["", f"## {BENCHMARKS[name][0]} (`{name}`)", ""]
        lines += ["| figure | median | range | unit | bound | |", "|---|---|---|---|---|---|"]
        lines += _rows(figures)
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


def with_tables(text: str, tables: str) -> str:
    """A text that has these lines between its mark and the next heading. Raises as `with_rows`."""
    before, rest = _marked(text)
    while rest and not rest[0].startswith("#"):
        rest.pop(0)
    return "\n".join([*before, "", tables, "", *rest]) + "\n"


def _marked(text: str) -> tuple[list[str], list[str]]:
    """The lines up to the mark, with it, and the lines behind it."""
    lines = text.splitlines()
    end = lines.index(_MARK) + 1
    return lines[:end], lines[end:]


def _rows(figures: list[dict[str, Any]]) -> Iterator[str]:
    for figure in figures:
        rounds = figure["rounds"]
        span = f"{short(min(rounds))} .. {short(max(rounds))}" if len(rounds) > 1 else ""
        met = {True: "met", False: "**not met**", None: ""}[figure["met"]]
        cells = [
            figure["name"],
            short(figure["median"]),
            span,
            figure["unit"],
            figure["bound"],
            met,
        ]
        yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
