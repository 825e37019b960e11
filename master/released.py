"""The first moment that a clock may show: a machine without a battery starts in 1970."""

from __future__ import annotations

RELEASED_AT = 1_767_225_600.0
"""2026-01-01, UTC epoch in seconds: no clock that is right says less."""
