"""How much of a message an outcome takes, and whether a message can have it.

The receiver of a message bounds its bytes, its parts and what decoding it takes (`measuring`). The
sender keeps to the same bounds. An outcome above them would end its session, and the next one, too.
"""

from __future__ import annotations

from typing import NamedTuple

from .limits import (
    EXCHANGE_BYTES,
    FOLLOW_BYTES,
    MESSAGE_PARTS,
    MOST_BLOCKS,
    PART_BYTES,
    VALUE_FACTOR,
    VALUE_FREE_BYTES,
)
from .records import Done, Outcome, encoded_bytes

_SPARE = 1_024  # more than a message has besides its outcomes
_PARTS, _MEMORY = 16, 1_024
_BLOCK_PARTS, _BLOCK_MEMORY = 12, 640
_LIMIT_PARTS, _LIMIT_MEMORY = 4, 340
_KEY_MEMORY, _TEXT_FACTOR = 64, 4


class Weight(NamedTuple):
    """What outcomes take together, or a little more.

    size_bytes: their size on the wire. parts: how many lists, texts and numbers they have.
    memory_bytes: what they take when they are decoded.
    """

    size_bytes: int = 0
    parts: int = 0
    memory_bytes: int = 0

    def with_(self, other: Weight) -> Weight:
        """The weight of both together."""
        return Weight(*(a + b for a, b in zip(self, other, strict=True)))

    def fits(self, limit_bytes: int = EXCHANGE_BYTES) -> bool:
        """Whether a message of at most `limit_bytes` can have outcomes of this weight."""
        free = VALUE_FREE_BYTES - _SPARE
        return (
            self.size_bytes <= limit_bytes
            and self.parts <= MESSAGE_PARTS - _SPARE
            and self.memory_bytes <= VALUE_FACTOR * self.size_bytes + free
        )


def weigh(outcome: Outcome) -> Weight:
    """The weight of an outcome. Its batches are not decoded for it."""
    size_bytes = encoded_bytes(outcome)
    if type(outcome) is not Done:
        return Weight(size_bytes, _PARTS, _TEXT_FACTOR * size_bytes + _MEMORY)
    opaque = len(outcome.results) + sum(len(block.body) for block in outcome.follow)
    keys = sum(len(block.keys or ()) for block in outcome.follow)
    blocks, limits = len(outcome.follow), len(outcome.limits)
    return Weight(
        size_bytes,
        _PARTS + _BLOCK_PARTS * blocks + _LIMIT_PARTS * limits + keys,
        _MEMORY
        + opaque
        + _TEXT_FACTOR * (size_bytes - opaque)
        + _BLOCK_MEMORY * blocks
        + _LIMIT_MEMORY * limits
        + _KEY_MEMORY * keys,
    )


def cannot_travel(outcome: Done) -> str:
    """Why a result is more than the master takes, for the job's author; empty if it is not.

    The slot checks that the result itself is at most QUEUE_MAX_BYTES.
    """
    if len(outcome.follow) > MOST_BLOCKS:
        return (
            "the follow-ups of one task change their group, priority, delay or quota"
            f" {len(outcome.follow):,} times, and may {MOST_BLOCKS:,} times: sort them"
        )
    if len(outcome.limits) > MOST_BLOCKS:
        return (
            f"the result of one task limits {len(outcome.limits):,} groups, and may limit"
            f" {MOST_BLOCKS:,}: let a follow-up limit the rest"
        )
    weight, results_bytes = weigh(outcome), len(outcome.results)
    if results_bytes > PART_BYTES:
        return f"the result takes {results_bytes:,} bytes, and may take {PART_BYTES:,}"
    size_bytes = weight.size_bytes - results_bytes
    limit_bytes = min(FOLLOW_BYTES, PART_BYTES - results_bytes)
    if size_bytes > limit_bytes:
        return (
            f"the follow-ups of one task, with their keys, take {size_bytes:,} bytes, and may take"
            f" {limit_bytes:,}: let one of them submit the rest"
        )
    if not weight.fits(PART_BYTES):
        count = sum(block.count for block in outcome.follow)
        return (
            f"{count:,} follow-ups of one task are too many for one message: let one of them"
            " submit the rest"
        )
    return ""
