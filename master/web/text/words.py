"""Numbers, durations, sizes and times as people read them.

Texts of the language come from `_`, which the template's environment gives.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal

from markupsafe import Markup

NOTHING = "\N{EN DASH}"
"""Stands where there is no value."""

Translate = Callable[[str], str]

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_TENTHS_S = 10.0
_LEAST = 1e-6
"""A number that is nearer to 0 is written as 0."""


_FORMS = {"clock": "%H:%M", "day": "%m-%d", "both": "%m-%d %H:%M"}


def number(value: float) -> str:
    """With separators; below 1 with two significant digits, however small the number is."""
    if isinstance(value, float) and not value.is_integer():
        if not math.isfinite(value):
            return NOTHING
        if abs(value) < 1:
            return f"{Decimal(f'{value:.2g}'):f}" if abs(value) >= _LEAST else "0"
        if abs(value) < 10:
            return f"{value:.1f}"
        value = round(value)
    return f"{int(value):,}"


def duration(seconds: float | None, _: Translate) -> str:
    """Such as `0.4 s`, `42 s`, `3 min`, `2 h 5 min`, `3 days`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < _TENTHS_S:
        return _("{n} s").format(n=f"{seconds:.1f}")
    if seconds < _MINUTE_S:
        return _("{n} s").format(n=int(seconds))
    if seconds < _HOUR_S:
        return _("{n} min").format(n=int(seconds // _MINUTE_S))
    if seconds < _DAY_S:
        hours, rest = divmod(int(seconds), _HOUR_S)
        minutes = rest // _MINUTE_S
        if not minutes:
            return _("{n} h").format(n=hours)
        return _("{n} h {m} min").format(n=hours, m=minutes)
    days, rest = divmod(int(seconds), _DAY_S)
    hours = rest // _HOUR_S
    return _("{n} d {m} h").format(n=number(days), m=hours) if hours else _("{n} d").format(n=days)


def moment(at: float | None) -> Markup:
    """A time, in UTC; live.js puts it into the time of the browser. at: UTC epoch in seconds."""
    if at is None:
        return Markup(NOTHING)
    try:
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        return Markup(NOTHING)
    iso, said = when.strftime("%Y-%m-%dT%H:%M:%SZ"), when.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, said, said)


def clock(at: float, length_s: float, *, empty: bool = False, whole: bool = False) -> Markup:
    """A moment of a chart, in UTC; live.js puts it into the time of the browser.

    at: UTC epoch in seconds. length_s: how long the chart is: days have no hours. empty: without a
    text, which is that of the moment before. whole: with day and hour where one alone does not tell
    it from all others.
    """
    when = datetime.datetime.fromtimestamp(at, datetime.UTC)
    form = "day" if length_s > 2 * _DAY_S else "clock"
    if whole and length_s >= _DAY_S:
        form = "both"
    iso, said = when.strftime("%Y-%m-%dT%H:%M:%SZ"), when.strftime(_FORMS[form])
    text = "" if empty else said
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(iso, form, text)
