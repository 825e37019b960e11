"""Errors of damaged rows, as people read them."""

from __future__ import annotations

import msgspec

DAMAGE = (KeyError, msgspec.MsgspecError)
"""What making a record raises when its row has a state or bytes that no release has written."""


def damaged(error: Exception) -> str:
    """What a `DAMAGE` says to people."""
    return f"a row is damaged: {error!r}"
