"""What became of a task, as the record that the master takes.

Owns how exceptions, results and follow-ups turn into records; knows nothing of pipes or boards.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from queue_manager import Reject, Result, Retry, Task, codec
from queue_manager.errors import NotPlainDataError, ProtocolError, QueueError, TooLargeError
from queue_manager.records import (
    BLOCK_BYTES,
    BLOCK_TASKS,
    FRAME_BYTES,
    Done,
    Failed,
    NewBlock,
    Outcome,
)

LINE_CHARS = 500
EVIDENCE_CHARS = 8 * 1024

_OURS = (NotPlainDataError, ProtocolError, TooLargeError)


def one_line(error: BaseException) -> str:
    """`ValueError: text`, on one line, whatever the text is."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "(its text cannot be read)"
    line = f"{name}: {text}" if text else name
    return clean(line)[:LINE_CHARS]


def clean(text: str) -> str:
    """The text without lone surrogates, which can't be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def failed(lease: int, position: int, error: BaseException, took_s: float) -> Failed:
    """The charged try of a task whose `work` raised."""
    if isinstance(error, Retry):
        text = one_line(error) if error.delay_s is None else f"Retry in {error.delay_s:g} s"
        return Failed(lease, position, text, delay_s=error.delay_s, took_s=took_s)
    if isinstance(error, Reject):
        return Failed(lease, position, clean(error.reason), reject=True, took_s=took_s)
    if isinstance(error, _OURS):  # the line says all
        return Failed(lease, position, clean(str(error)), took_s=took_s)
    return Failed(lease, position, one_line(error), _evidence(error), took_s=took_s)


def _evidence(error: BaseException) -> str:
    """The end of the traceback, without the frame of ours that called `work`."""
    try:
        trace = error.__traceback__
        below = trace.tb_next if trace is not None else None
        lines = traceback.format_exception(type(error), error, below or trace)
        return clean("".join(lines))[-EVIDENCE_CHARS:]
    except BaseException:  # such as no memory left: the one line must do
        return ""


def done(
    lease: int, first: int, results: Sequence[Any], took_s: float, max_bytes: int
) -> list[Outcome]:
    """Records of consecutive tasks that returned; results too large are failures."""
    try:
        data = codec.encode_batch(results)
        if len(data) <= max_bytes:  # then so is each of them
            return [Done(lease, first, first + len(results), data, took_s)]
    except QueueError:
        pass
    share_s = took_s / len(results)
    return [_one(lease, first + i, r, share_s, max_bytes) for i, r in enumerate(results)]


def _one(lease: int, position: int, result: Any, took_s: float, max_bytes: int) -> Outcome:
    try:
        data = _item(result, max_bytes, "the result")
    except QueueError as error:
        return failed(lease, position, error, took_s)
    return Done(lease, position, position + 1, codec.encode_items([data]), took_s)


def branch(lease: int, position: int, result: Result, took_s: float, max_bytes: int) -> Outcome:
    """The record of a task with follow-ups: done with all of them, or failed with none."""
    try:
        data = _item(result.value, max_bytes, "the result")
        blocks = new_blocks(result.follow, max_bytes)
        if sum(len(block.body) for block in blocks) > FRAME_BYTES // 2:
            raise TooLargeError(
                "the follow-ups of one task take more than 4 MiB together: "
                "let one of them submit the rest"
            )
    except QueueError as error:
        return failed(lease, position, error, took_s)
    return Done(lease, position, position + 1, codec.encode_items([data]), took_s, blocks)


def _item(value: Any, max_bytes: int, what: str) -> bytes:
    data = value.data if type(value) is codec.Encoded else codec.encode(value)
    codec.check_size(data, max_bytes, what)
    return data


def new_blocks(tasks: Iterable[Task], max_bytes: int) -> list[NewBlock]:
    """Consecutive tasks of one group, priority and delay as blocks, in their order.

    Raises:
        NotPlainDataError: a payload can't travel.
        TooLargeError: a payload takes more than `max_bytes`.
    """
    blocks: list[NewBlock] = []
    for head, alike in groupby(tasks, lambda t: (t.group, t.priority, t.delay_s, t.key is None)):
        group, priority, delay_s, plain = head
        for some, items in _portions(alike, max_bytes):
            keys = None if plain else [str(task.key) for task in some]
            body = codec.encode_items(items)
            blocks.append(NewBlock(len(some), body, keys, group, priority, delay_s))
    return blocks


def _portions(tasks: Iterable[Task], max_bytes: int) -> Iterable[tuple[list[Task], list[bytes]]]:
    """Cut tasks into blocks by count and by bytes; a larger task is one by itself."""
    some: list[Task] = []
    items: list[bytes] = []
    size_bytes = 0
    for task in tasks:
        item = _item(task.payload, max_bytes, "the payload of a follow-up")
        if some and (len(some) == BLOCK_TASKS or size_bytes + len(item) > BLOCK_BYTES):
            yield some, items
            some, items, size_bytes = [], [], 0
        some.append(task)
        items.append(item)
        size_bytes += len(item)
    if some:
        yield some, items
