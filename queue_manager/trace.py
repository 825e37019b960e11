"""Trace context: the text `traceparent` by which a tracing system joins what belongs together.

The queue passes it on, and makes none of its own.
Source: https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re

from .errors import ArgumentError
from .settings import trace_parent

_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


def is_traceparent(text: str) -> bool:
    """Whether a text is a traceparent: a version, two ids that are not zero, and flags."""
    return _FORM.fullmatch(text) is not None


def asked_traceparent(given: str | None = None) -> str:
    """The one that a request for a run has: the given one, or else that of this process.

    Empty if there is none. Raises ArgumentError if it is not one.
    """
    what, text = "traceparent", given
    if text is None:
        what, text = "TRACEPARENT", trace_parent()
    if text and not is_traceparent(text):
        raise ArgumentError(
            f"{what}={text[:80]!r} is no traceparent of W3C's trace context, such as"
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        )
    return text
