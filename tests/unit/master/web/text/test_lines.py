"""What the master says in English is said in Chinese, with its values; what is unknown stays."""

# ruff: noqa: RUF001  (Chinese has marks of its own)

from __future__ import annotations

import ast
import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import master
import queue_manager
from master.web.text.known_lines import LINES, PARTS
from master.web.text.language import catalogs
from master.web.text.lines import LONGEST, Lines
from master.web.text.templates import Templates
from queue_manager.job.conversion import described

MASTER, OURS = Path(master.__file__).parent, Path(queue_manager.__file__).parent
WORDS = {
    MASTER / "observe/diagnosis.py": None,
    MASTER / "observe/chain_text.py": None,
    MASTER / "observe/status.py": ["_troubles"],
    MASTER / "processes/runner.py": ["remedy", "how_it_ended"],
    MASTER / "processes/runners.py": ["_stall"],
    MASTER / "schedules/telling.py": ["why", "_why", "troubles"],
    MASTER / "schedules/due.py": ["_make_up", "_missed", "_timely"],
    MASTER / "broker/tasks.py": ["_lose"],
    OURS / "job/arguments.py": [
        "_split", "_unknown", "_check_complete", "_made", "split_arguments",
    ],
}  # fmt: skip
"""What writes lines for pages: the file, and which of its functions; None: all of them."""

lines = Lines(catalogs()["zh"].gettext)


def words_of(path: Path, functions: list[str] | None) -> Iterator[str]:
    """The words between values in the lines that functions write."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (functions is None or node.name in functions):
            for statement in node.body[ast.get_docstring(node) is not None :]:
                yield from _words_in(statement)


def _words_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value.strip()
        if re.search(r"[a-z]{2}.* |.* .*[a-z]{2}", text):
            yield text
    skipped: list[ast.AST] = []
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        skipped = node.args[:1] if called == "Reason" else []  # its kind
        skipped = list(node.args) if called.startswith("log.") else skipped
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _words_in(child)


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.stem)
def test_all_words_that_the_master_has_for_pages_are_known(path: Path) -> None:
    found = list(words_of(path, WORDS[path]))
    assert found
    known = (*LINES, *PARTS)
    assert [words for words in found if not any(words in text for text in known)] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("choose a run", "请选择一个运行"),
        ("run 3 is none of those with this failure", "运行 3 没有此失败"),
        ("run 3 is of another job: square", "运行 3 属于另一个作业：square"),
        ("no run of lines has such dead letters", "lines 的运行都没有这样的死信"),
        (
            "no worker is connected: start one with WORKER_TAGS=gpu",
            "没有工作端连接：请用 WORKER_TAGS=gpu 启动一个",
        ),
        (
            "no worker has the tags bigmem and gpu together: start one with WORKER_TAGS=bigmem,gpu",
            "没有工作端具有标签 bigmem 和 gpu：请用 WORKER_TAGS=bigmem,gpu 启动一个",
        ),
        (
            "a/1, b/2, c/3 and 2 more can't run job: boom",
            "a/1, b/2, c/3 等，另有 2 个 无法运行 job：boom",
        ),
        (
            "held back by per_group=Limit(every_s=5) of its OPTIONS, the next may start in 3.0 s:"
            " if that is too strict, change it in jobs/job.py",
            "被其 OPTIONS 的 per_group=Limit(every_s=5) 暂缓，下一个可在 3.0 秒后开始："
            "如果过于严格，请在 jobs/job.py 中修改",
        ),
        (
            "its runner was killed by SIGKILL, 5 times without progress; mend jobs/job.py, or `qm"
            " retry 1`",
            "它的运行器被 SIGKILL 终止，连续 5 次没有进展；请修改 jobs/job.py，或 `qm retry 1`",
        ),
        ("argument 'count' is a whole number, not 'x'", "参数 'count' 应为整数，而不是 'x'"),
        (
            "argument 'at' is true or false or none, not 'x'",
            "参数 'at' 应为true 或 false，或为空（none），而不是 'x'",
        ),
        (
            "schedule nightly: 2026-03-29T01:00:00Z left out: run 3 was still going",
            "计划 nightly：2026-03-29T01:00:00Z 被跳过：运行 3 还在进行",
        ),
        (
            "can't write to data/queue.db: database or disk is full; nothing is lost: make room,"
            " and it goes on by itself",
            "无法写入 data/queue.db：数据库或磁盘已满；"
            "没有丢失任何内容：请腾出空间，随后会自动继续",
        ),
    ],
)
def test_a_line_is_said_with_its_values(line: str, said: str) -> None:
    assert lines.said(line) == said


def test_kinds_of_arguments_and_failures_are_said() -> None:
    kinds = (
        int,
        float,
        complex,
        str,
        bool,
        bytes,
        int | None,
        list[int],
        dict[str, int],
        int | str,
    )
    for kind in kinds:
        assert is_chinese(lines.piece(described(kind))), kind
    assert lines.failed("timed out after 3 s") == "超过时限 3 秒"
    told = "there are 4.0 GiB; this slot had 3.9 GiB of it 2 s before"
    killed = f"killed by SIGKILL as memory ran out ({told})"
    assert lines.piece(killed) == (
        "内存用尽时被 SIGKILL 终止（共有 4.0 GiB，此槽在 2 秒前占用其中 3.9 GiB）"
    )
    assert lines.failed("its slot died: killed by SIGSEGV") == "它的槽进程已终止：被 SIGSEGV 终止"


@pytest.mark.parametrize("line", ["", "boom {n}", "no workers", "x" * 10_000, "a\nb", "{0} {line}"])
def test_a_line_that_nobody_knows_stays_as_it_is(line: str) -> None:
    assert (lines.said(line), lines.piece(line), lines.failed(line)) == (line, line, line)


def test_what_a_job_raises_is_not_taken_for_a_line_of_the_master() -> None:
    error = "ValueError: I can't run job: no worker is connected: x"
    assert lines.failed(error) == error


def test_values_with_braces_and_words_of_lines_stay_as_they_are() -> None:
    said = lines.said("schedule {name} {0}: no worker is {line}")
    assert said == "计划 {name} {0}：no worker is {line}"


def test_a_line_that_was_made_to_take_long_takes_no_time() -> None:
    began = time.monotonic()
    for piece in (", ", ": ", " and ", "; ", " can't run ", " s", " is that of run "):
        for of in (lines.said, lines.piece, lines.failed):
            of((piece * LONGEST)[:LONGEST])
            of((piece * LONGEST)[: LONGEST - 1] + "x")
    assert time.monotonic() - began < 2


def test_english_pages_have_the_lines_as_they_are() -> None:
    view = {"since": None, "line": "there is no such page"}
    pages = Templates()
    said = {one: pages.render("banner.html", one, view) for one in pages.languages}
    assert "there is no such page" in said["en"]
    assert "没有这个页面" in said["zh"]


def is_chinese(text: str) -> bool:
    """Whether a text has Chinese words."""
    return any("\u4e00" <= char <= "\u9fff" for char in text)


def test_lines_that_are_too_long_are_not_kept() -> None:
    """Up to 64 K characters of what a task raised: a thousand of them are much memory."""
    kept = "x" * LONGEST, "x" * (LONGEST + 1)
    lines = Lines(str)
    tracemalloc.start()
    for number in range(100):
        assert lines.said(f"{number}{'x' * 60_000}")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1_000_000
    assert [lines.said(line) for line in kept] == list(kept)
