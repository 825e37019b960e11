"""When blocks were accepted, by marks. The numbers of blocks grow, so some marks tell it of all.

A mark says: the blocks from this number on came at this time or later. Marks of long ago are few,
so that a time is wrong by a twentieth of the age at most. A month takes some hundred marks, and no
block takes memory or a column.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

MOST_MARKS = 1_024
"""When there are more, marks of long ago are thinned out. About 500 stay."""

NOTE_S = 5.0
"""How often the marks go to disk at most, with a commit that takes place anyway."""

_PRECISION = 0.05


class AcceptedAt:
    """The times at which blocks were accepted, in monotonic seconds.

    written_at: when the marks were last on their way to disk (monotonic); 0 before the first time.
    """

    def __init__(self) -> None:
        self._blocks: list[int] = []
        self._times: list[float] = []
        self.written_at = 0.0
        self._is_new = False

    def load(self, marks: Iterable[tuple[int, float]], next_block: int, now: float) -> None:
        """Begin with the marks of before a start. now: of this start (monotonic s).

        Blocks between the last mark and `next_block` came before this start: they count from that
        mark. Where there is no mark, all blocks of before count from now.
        """
        for block, at in marks:
            self.note(block, min(at, now))
        if not self._blocks:
            self.note(1, now)
        if next_block > self._blocks[-1]:
            self.note(next_block, now)
        self._is_new = False  # until a block comes

    def note(self, block: int, now: float) -> None:
        """Blocks from this number on are accepted now (monotonic seconds).

        The newest mark may be of the same number, if no block had that number yet.
        """
        last = self._blocks[-1] if self._blocks else 0
        if block < last:
            return
        if block == last:
            self._times[-1] = max(now, self._times[-1])
        else:
            self._blocks.append(block)
            self._times.append(max(now, self._times[-1]) if self._times else now)
        self._is_new = True
        if len(self._blocks) > MOST_MARKS:
            self._thin_out(now)

    def take_back(self, block: int) -> None:
        """The blocks from this number on were not accepted after all."""
        while len(self._blocks) > 1 and self._blocks[-1] >= block:
            self._blocks.pop()
            self._times.pop()

    def of(self, block: int) -> float:
        """When a block was accepted (monotonic seconds), or a little earlier."""
        place = bisect_right(self._blocks, block) - 1
        return self._times[max(place, 0)] if self._times else 0.0

    def marks(self) -> list[tuple[int, float]]:
        """All marks as (block, monotonic seconds), the oldest first."""
        return list(zip(self._blocks, self._times, strict=True))

    def is_due(self, now: float) -> bool:
        """Whether the marks should go to disk with the next commit."""
        return self._is_new and (not self.written_at or now - self.written_at >= NOTE_S)

    def written(self, now: float) -> None:
        """The marks are on disk."""
        self.written_at, self._is_new = now, False

    def _thin_out(self, now: float) -> None:
        """Drop each mark whose neighbours are close together for their age."""
        kept = [len(self._times) - 1]
        for place in range(len(self._times) - 2, 0, -1):
            newer, older = self._times[kept[-1]], self._times[place - 1]
            if newer - older > _PRECISION * (now - older):
                kept.append(place)
        kept.append(0)
        kept.reverse()
        self._blocks = [self._blocks[place] for place in kept]
        self._times = [self._times[place] for place in kept]
