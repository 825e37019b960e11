"""Text from outside is made harmless for the reader's terminal.

Names, arguments, errors and output come from jobs, clients and web sites. Escape codes in them
could move the cursor, change colours or titles, or turn the direction of a line.
"""

from __future__ import annotations

import io
import re
import sys

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1: ECMA-48
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions: Unicode Standard Annex 9
    "\u2028\u2029\ud800-\udfff]"  # other line ends; lone surrogates
)
"""All characters that steer a terminal."""

UNREADABLE = "(its text cannot be read)"
"""What is shown of an object whose `__str__` raises."""


def harmless(text: str) -> str:
    r"""Write out every character that steers a terminal, such as `\x1b`. Tabs and newlines stay."""
    return STEERING.sub(_written_out, text)


def harmless_line(text: str) -> str:
    r"""As `harmless`, on one line: a newline is written out as `\n`, so it can't forge a line."""
    return harmless(text).replace("\n", "\\n")


def text_of(value: object) -> str:
    """Any object of a job, such as an exception, as one line. It never raises."""
    try:
        return " ".join(str(value).split())
    except BaseException:  # its `__str__` is code of the job, which may do anything
        return UNREADABLE


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8. Python reads other bytes as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def forgive_prints() -> None:
    """Let stdout and stderr write out characters that the locale lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
