"""Ended tasks as lines of JSON or CSV, with the fields that the commands promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from queue_manager import codec
from queue_manager.job.failures import failure_of
from queue_manager.plain.as_json import dumped, to_json
from queue_manager.wire.records import DeadLetter, ResultBlock
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

FIELDS = ("run", "task", "key", "state", "attempts", "payload", "result", "error")
LETTER_FIELDS = (*FIELDS, "losses", "worker", "evidence", "printed", "failure", "died_at")


class Line(dict[str, Any]):
    """One ended task, with the fields of `FIELDS`, or one dead letter with `LETTER_FIELDS`."""

    def json(self) -> str:
        """As one line of JSON."""
        return dumped(self)

    def cells(self) -> list[Any]:
        """As cells of CSV: texts as they are, everything else as JSON, None as an empty cell."""
        plain = (str, type(None))
        return [v if isinstance(v, plain) else dumped(v) for v in self.values()]


def lines_of(run: int, block: ResultBlock) -> Iterator[Line]:
    """The ended tasks of a block, in task order."""
    payloads = codec.decode_each(block.body, 0, block.count, SHOWN_ITEM)
    ended: dict[int, tuple[str, Any, str, int]] = {}
    for range_ in block.ended:
        results = codec.decode_each(range_.results, 0, range_.stop - range_.start, SHOWN_ITEM)
        for position, result in zip(range(range_.start, range_.stop), results, strict=True):
            attempts = block.attempts.get(block.first + position, 0) + 1
            ended[position] = ("done", to_json(result), "", attempts)
    for letter in block.dead:
        position = letter.task - block.first
        ended[position] = ("dead", None, letter.error, letter.attempts)
    for position, (state, result, error, attempts) in sorted(ended.items()):
        key = None if block.keys is None else block.keys[position]
        payload = to_json(payloads[position])
        task = block.first + position
        values = (run, task, key, state, attempts, payload, result, error or None)
        yield Line(zip(FIELDS, values, strict=True))


class Letter(NamedTuple):
    """A dead letter with its task."""

    run: int
    letter: DeadLetter
    key: str | None
    payload: Any

    @property
    def line(self) -> Line:
        """With the fields of `LETTER_FIELDS`."""
        letter = self.letter
        payload = to_json(self.payload)
        values = (self.run, letter.task, self.key, "dead", letter.attempts, payload, None)
        more = (letter.error or None, letter.losses, letter.worker, letter.evidence, letter.printed)
        group = (failure_of(letter), letter.died_at)
        return Line(zip(LETTER_FIELDS, (*values, *more, *group), strict=True))


def letters_of(run: int, block: ResultBlock) -> Iterator[Letter]:
    """The dead letters of a block, in task order."""
    payloads = codec.decode_each(block.body, 0, block.count, SHOWN_ITEM)
    for letter in sorted(block.dead, key=lambda letter: letter.task):
        position = letter.task - block.first
        key = None if block.keys is None else block.keys[position]
        yield Letter(run, letter, key, payloads[position])
