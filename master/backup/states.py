"""What followers say of their copies: a file each, beside the store, whose master reads it.

The file is `copies/NAME.json` in the folder of the store. A follower that ends in order removes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

FOLDER = "copies"
_SILENT_S = 15.0
"""So long after the time up to which a copy is complete, the master says so."""


class CopyState(msgspec.Struct, frozen=True):
    """What a follower says of its copy.

    name: of the copy, for people. complete_at: what was committed by then is in the copy (UTC
    epoch, s). trouble: why it is not followed now; empty: it is.
    """

    name: str
    complete_at: float
    trouble: str = ""
    file: str = ""


def read_copies(folder: Path) -> list[CopyState]:
    """What is said of the copies of the store in a folder. What can't be read is left out."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            state = msgspec.json.decode(path.read_bytes(), type=CopyState)
            found.append(msgspec.structs.replace(state, file=str(path)))
    return found


def copy_troubles(copies: Iterable[CopyState], now: float) -> Iterator[str]:
    """A line for each copy that is behind. now: UTC epoch in seconds."""
    for copy in copies:
        if now - copy.complete_at > _SILENT_S:
            why = copy.trouble or (
                "its follower says nothing. Start `qm backup --follow` again, or remove"
                f" {copy.file} if nobody wants this copy any more"
            )
            behind = f"{now - copy.complete_at:,.0f} s behind"
            yield f"the copy {copy.name} of the store is {behind}: {why}"
