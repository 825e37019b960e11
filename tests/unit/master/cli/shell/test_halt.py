"""When `qm shell` gives up."""

from __future__ import annotations

import pytest

from master.cli.shell.halt import NEVER, halt_of


@pytest.mark.parametrize(
    ("text", "counts", "reached"),
    [
        ("never", (100, 100), False),
        ("now,fail=1", (0, 9), False),
        ("now,fail=1", (1, 1), True),
        ("soon,fail=3", (2, 50), False),
        ("soon,fail=3", (3, 50), True),
        ("now,success=2", (5, 6), False),
        ("now,success=2", (5, 7), True),
        ("soon,done=4", (0, 3), False),
        ("soon,done=4", (2, 4), True),
        ("now,fail=50%", (1, 2), False),
        ("now,fail=50%", (2, 4), True),
        ("now,fail=50%", (1, 4), False),
        ("1", (1, 1), True),
        ("0", (1, 1), False),
    ],
)
def test_it_is_time_when_enough_have_failed_or_ended(
    text: str, counts: tuple[int, int], reached: bool
) -> None:
    assert halt_of(text).reached(*counts) is reached


def test_soon_and_now_differ_in_what_becomes_of_running_commands() -> None:
    assert halt_of("1").when == "soon"
    assert halt_of("2").when == "now"
    assert halt_of("never") == NEVER


@pytest.mark.parametrize(
    "text", ["", "now", "now,fail", "now,fail=0", "later,fail=1", "now,done=5%", "now,fail=101%"]
)
def test_another_text_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is no time to halt: give never, or now or soon with"):
        halt_of(text)
