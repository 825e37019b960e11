"""What comes from outside does not steer the terminal of whoever reads it."""

from __future__ import annotations

import io
import logging

import pytest

from queue_manager.log_lines import HarmlessFormatter
from queue_manager.terminal import harmless, harmless_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, 痛点, é", "plain, 痛点, é"),
        ("one\ttwo\nthree", "one\ttwo\nthree"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),  # the same in one character
        ("over\rwritten\x08", "over\\x0dwritten\\x08"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("a\u202eb\u2066c\u2028d", "a\\u202eb\\u2066c\\u2028d"),  # right to left, and new lines
        ("\udcff", "\\udcff"),
    ],
)
def test_what_steers_is_written_out_and_all_else_stays(text: str, expected: str) -> None:
    assert harmless(text) == expected
    assert harmless(expected) == expected


def test_a_log_passes_nothing_on_that_steers() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(HarmlessFormatter("%(message)s"))
    log = logging.getLogger("tests.terminal")
    log.propagate = False
    log.addHandler(handler)
    log.warning("task failed: %s", "\x1b[2Jgone")
    assert out.getvalue() == "task failed: \\x1b[2Jgone\n"


def test_a_line_stays_one_line() -> None:
    assert harmless_line("s=a\nrun 9 (forged) started\x1b") == "s=a\\nrun 9 (forged) started\\x1b"
