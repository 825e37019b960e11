"""Text from outside, made harmless for the terminal of whoever reads it.

Names, arguments, errors and output come from jobs, clients and web sites. Escape codes in them
would move the cursor, change colours or titles, or turn the direction of a line.
"""

from __future__ import annotations

import io
import logging
import re
import sys

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1: ECMA-48
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions: Unicode Standard Annex 9
    "\u2028\u2029\ud800-\udfff]"  # other ends of lines; halves of characters
)
"""What steers a terminal: the one list of it."""


def harmless(text: str) -> str:
    r"""The text with what steers a terminal written out, as `\x1b`; tabs and newlines stay."""
    return STEERING.sub(_written_out, text)


def harmless_line(text: str) -> str:
    r"""The same as one line: nobody forges another with a newline, which is written out as `\n`."""
    return harmless(text).replace("\n", "\\n")


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: what the system gave as other bytes can't."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def forgive_prints() -> None:
    """What this process prints and its locale lacks is written out, as on any stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class HarmlessFormatter(logging.Formatter):
    """Lines of a log: what others have sent stands in them."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def log_to(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send the log of this process there: bare lines, harmless ones."""
    handler.setFormatter(HarmlessFormatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
