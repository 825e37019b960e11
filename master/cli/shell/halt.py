"""When `qm shell` gives up: `--halt`, as GNU Parallel has it."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_FORM = re.compile(r"(now|soon),(fail|success|done)=([1-9][0-9]{0,8})(%?)")
_LEAST = 3
"""A percentage is looked at from so many ended commands on."""

_SHORT = {"0": "never", "1": "soon,fail=1", "2": "now,fail=1"}


class Halt(NamedTuple):
    """When to give up.

    when: whether running commands are killed, or may end. what: which commands count. least: how
    many of them, or what percentage.
    """

    when: Literal["never", "now", "soon"] = "never"
    what: str = "fail"
    least: int = 1
    is_percent: bool = False

    def reached(self, failed: int, done: int) -> bool:
        """Whether it is time. failed, done: how many commands have failed, and have ended."""
        if self.when == "never":
            return False
        counted = {"fail": failed, "success": done - failed, "done": done}[self.what]
        if self.is_percent:
            return done >= _LEAST and counted * 100 >= self.least * done
        return counted >= self.least


NEVER = Halt()


def halt_of(text: str) -> Halt:
    """What `--halt` says. Raises ValueError, whose text is one line."""
    text = _SHORT.get(text, text)
    if text == "never":
        return NEVER
    form = _FORM.fullmatch(text)
    if form is None or (form[4] and (form[2] == "done" or int(form[3]) > 100)):
        raise ValueError(
            f"{text!r} is no time to halt: give never, or now or soon with fail, success or done,"
            " such as now,fail=1 or soon,fail=10%"
        )
    when: Literal["now", "soon"] = "now" if form[1] == "now" else "soon"
    return Halt(when, form[2], int(form[3]), bool(form[4]))
