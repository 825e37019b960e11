"""One task of a run: it plans which ranges there are, or counts one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from queue_manager import Reject, Result, Retry, Task

from .asked import Asked, unpacked
from .count.tally import Tally
from .parse.patterns import BadPatternError, check, whole
from .parse.reader import Reader
from .parse.times import Clock
from .read import plan
from .read.found import LostError
from .read.lines import ShorterError
from .read.named import NoFilesError, files_of
from .read.packed import CutOffError, PackedError
from .read.source import lines_of
from .read.twins import UnfinishedError, fresh_s


def plan_run(payload: dict[str, Any]) -> Result:
    """Find the files, and let their ranges follow. Raises Reject if there is nothing to read."""
    asked = unpacked(payload["asked"])
    try:
        if asked.regex:
            check(whole(asked.regex))
        pieces = _pieces(payload["patterns"])
    except (NoFilesError, BadPatternError, PackedError) as error:
        raise Reject(str(error)) from None
    small = sum(plan.count(piece, asked.range_bytes) for piece in pieces) <= plan.A_SPREAD
    what = "range" if small else "spread"
    parts = plan.ranges if small else plan.spread
    tasks = [
        Task({what: plan.packed(part), "asked": payload["asked"]}, key=f"{what} {part.key}")
        for piece in pieces
        for part in parts(piece, asked.range_bytes)
    ]
    return Result({"files": len(pieces), "ranges": _ranges(pieces, asked)}, follow=tasks)


def _pieces(patterns: list[str]) -> list[plan.Piece]:
    """All files. Raises Retry where some are being renamed or packed, Reject, NoFilesError."""
    try:
        paths = files_of(patterns)
        return [plan.whole(number, path) for number, path in enumerate(paths)]
    except UnfinishedError as error:
        raise Retry(error.wait_s, reason=str(error)) from None
    except FileNotFoundError as error:
        raise Retry(reason=f"{error.filename} was renamed or removed just now") from None
    except PermissionError as error:
        who = f"the worker's user, whose uid is {os.geteuid()}"
        raise Reject(f"{error.filename} can't be read by {who}") from None
    except OSError as error:
        raise Reject(f"{error.filename}: {error.strerror}") from None


def _ranges(pieces: list[plan.Piece], asked: Asked) -> int:
    return sum(plan.count(piece, asked.range_bytes) for piece in pieces)


def spread(payload: dict[str, Any]) -> Result:
    """Let the ranges of a part of a large file follow."""
    asked = unpacked(payload["asked"])
    tasks = [
        Task({"range": plan.packed(part), "asked": payload["asked"]}, key=f"range {part.key}")
        for part in plan.ranges(plan.unpacked(payload["spread"]), asked.range_bytes)
    ]
    return Result({}, follow=tasks)


def count_range(payload: dict[str, Any]) -> dict[str, Any]:
    """Count the lines of a range. Raises Reject if they can't be had any more."""
    asked = unpacked(payload["asked"])
    piece = plan.unpacked(payload["range"])
    clock = Clock(asked.zone)
    tally = Tally(asked, clock)
    reader = Reader(asked, clock)
    path = piece.noted.path
    try:
        with lines_of(piece) as lines:
            for batch in _batches(reader, lines.blocks()):
                tally.add(batch)
            tally.no_requests(lines.too_long)
    except LostError as error:
        raise Reject(str(error)) from None
    except ShorterError as error:
        # It was copied and cut while it was read. The next attempt finds the copy.
        raise ShorterError(f"{path}: {error}") from None
    except CutOffError as error:
        if wait_s := fresh_s(Path(path)):
            raise Retry(wait_s, reason=f"{path}: {error}, as it is while written") from None
        raise Reject(f"{path}: {error}") from None
    except PackedError as error:
        raise Reject(f"{path}: {error}") from None
    return {"range": piece.key, **tally.packed()}


def _batches(reader: Reader, blocks: Iterator[bytes]) -> Iterator[Any]:
    for block in blocks:
        yield from reader.batches(block)
    yield from reader.rest()
