"""Makes the outcome of a task, as the record that the master takes.

This module owns how exceptions, results and follow-ups become records. It knows no pipes and no
shared memory.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from queue_manager import Reject, Result, Retry, codec
from queue_manager.errors import NotPlainDataError, ProtocolError, QueueError, TooLargeError
from queue_manager.job.batching import blocks_of
from queue_manager.job.raised import write_raised
from queue_manager.terminal import text_of
from queue_manager.wire.records import Done, Failed, GroupLimit, Outcome
from queue_manager.wire.weight import cannot_travel

LINE_CHARS = 500
OURS_CHARS = 2_000
EVIDENCE_CHARS = 8 * 1024
MESSAGE_CHARS = 2 * 1024
"""The most characters of one frame, or of one exception's text, so that others have room, too."""

_HERE = f"{Path(__file__).parents[1]}{os.sep}"

_OURS = (NotPlainDataError, ProtocolError, TooLargeError)


_name_of = type.__dict__["__name__"].__get__
"""The name of a class, also where its metaclass overrides `__name__`."""


def one_line(error: BaseException) -> str:
    """Describe an exception on one line: `ValueError: text`."""
    name = _name_of(type(error))
    text = text_of(error)
    line = f"{name}: {text}" if text else name
    return middle_out(clean(line), LINE_CHARS)


def middle_out(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters. Its middle goes, which tells least."""
    if len(text) <= limit:
        return text
    cut = f" ... (of {len(text):,} characters) ... "
    kept = limit - len(cut)
    end = kept // 2
    return text[: kept - end] + cut + text[len(text) - end :]


def clean(text: str) -> str:
    """The text without lone surrogates, which can't be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def failed(
    lease: int, position: int, error: BaseException, took_s: float, printed: str = ""
) -> Failed:
    """Make the record of a task whose `work` has raised. printed: the end of what it printed."""
    line, evidence, delay_s, whole_group = one_line(error), "", None, False
    if isinstance(error, Retry):
        line, delay_s, whole_group = _asked(error)
    elif isinstance(error, Reject):
        line = _reason(error) or line
    elif isinstance(error, _OURS):  # the line says all
        line = clean(str(error))[:OURS_CHARS]
    else:
        evidence = _evidence(error)
    reject = isinstance(error, Reject)
    told = (line, evidence, reject, delay_s, took_s, printed, whole_group, write_raised(error))
    return Failed(lease, position, *told)


def _asked(error: Retry) -> tuple[str, float | None, bool]:
    """The line, delay and group of a Retry. A subclass may have set any of them to anything."""
    try:
        checked = Retry(error.delay_s, error.whole_group)
        delay_s = None if checked.delay_s is None else float(checked.delay_s)
    except BaseException as wrong:
        line = f"{_name_of(type(error))}: {text_of(wrong)}"
        return middle_out(clean(line), LINE_CHARS), None, False
    line = _reason(error)
    if not line and delay_s is not None:
        line = f"Retry in {delay_s:g} s" + ", with its whole group" * checked.whole_group
    return line or one_line(error), delay_s, checked.whole_group


def _reason(error: Retry | Reject) -> str:
    """The reason of a Retry or Reject, as one line of bounded length; empty without one."""
    try:
        return middle_out(clean(" ".join(str(error.reason).split())), LINE_CHARS)
    except BaseException:
        return ""


def _evidence(error: BaseException) -> str:
    """The traceback without our frames. A long part of it loses its middle."""
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
        _leave_ours_out(told)
        parts = [middle_out(part, MESSAGE_CHARS) for part in told.format()]
        return _both_ends(clean("".join(parts)))
    except BaseException:  # such as MemoryError: the one line has to do
        return ""


def _both_ends(text: str) -> str:
    """Cut a long traceback to its first quarter and its end, which has the last exception."""
    if len(text) <= EVIDENCE_CHARS:
        return text
    head = text[: EVIDENCE_CHARS // 4].rpartition("\n")[0]
    note = f"\n  ... (of {len(text):,} characters) ...\n"
    end = text[len(head) + len(note) - EVIDENCE_CHARS :].partition("\n")[2]
    return head + note + end


def _leave_ours_out(told: traceback.TracebackException) -> None:
    """Leave out our own frames around `work` and in `print`, which say nothing about the job."""
    todo: list[traceback.TracebackException | None] = [told]
    while todo:
        one = todo.pop()
        if one is not None:
            kept = [frame for frame in one.stack if not frame.filename.startswith(_HERE)]
            one.stack[:] = kept or one.stack
            todo += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]


def done(
    lease: int, first: int, results: Sequence[Any], took_s: float, max_bytes: int
) -> list[Outcome]:
    """Make the records of consecutive tasks that returned. Too large results are failures."""
    data = _batch(results, max_bytes)
    if data is not None:
        return [Done(lease, first, first + len(results), data, took_s)]
    share_s = took_s / len(results)
    return [_one(lease, first + i, r, share_s, max_bytes) for i, r in enumerate(results)]


def results_of(lease: int, ended: list[tuple[int, Any, float]], max_bytes: int) -> list[Outcome]:
    """Make the records of tasks that returned in any order.

    ended: the position, result and seconds of each. Consecutive results become one record, if they
    fit in `max_bytes` together.
    """
    ended.sort(key=itemgetter(0))
    records: list[Outcome] = []
    start = 0
    for stop in range(1, len(ended) + 1):
        if stop < len(ended) and ended[stop][0] == ended[stop - 1][0] + 1:
            continue
        some, start = ended[start:stop], stop
        first, data = some[0][0], _batch([result for _, result, _ in some], max_bytes)
        if data is not None:
            took_s = sum(took_s for _, _, took_s in some)
            records.append(Done(lease, first, first + len(some), data, took_s))
        else:
            records += merged([_one(lease, *one, max_bytes) for one in some], max_bytes)
    return records


def _batch(results: Sequence[Any], max_bytes: int) -> bytes | None:
    """Encode results as one batch. None: it is too large, or a result can't be encoded."""
    try:
        data = codec.encode_batch(results)
    except QueueError:
        return None
    return data if len(data) <= max_bytes else None  # each of them is smaller than the batch


def _one(lease: int, position: int, result: Any, took_s: float, max_bytes: int) -> Outcome:
    try:
        data = _item(result, max_bytes, "the result")
    except QueueError as error:
        return failed(lease, position, error, took_s)
    return Done(lease, position, position + 1, codec.encode_items([data]), took_s)


def branch(lease: int, position: int, result: Result, took_s: float, max_bytes: int) -> Outcome:
    """Make the record of a task with follow-ups: done with all of them, or failed."""
    try:
        data = _item(result.value, max_bytes, "the result")
        blocks = blocks_of(result.follow, max_bytes, "the payload of a follow-up")
        limits = {g: GroupLimit(one.at_once, one.every_s) for g, one in result.limits.items()}
        items = codec.encode_items([data])
        record = Done(lease, position, position + 1, items, took_s, blocks, limits)
        if why := cannot_travel(record):
            raise TooLargeError(why)
    except QueueError as error:
        return failed(lease, position, error, took_s)
    return record


def _item(value: Any, max_bytes: int, what: str) -> bytes:
    data = value.data if type(value) is codec.Encoded else codec.encode(value)
    codec.check_size(data, max_bytes, what)
    return data


def merged(records: list[Outcome], max_bytes: int) -> list[Outcome]:
    """Join done records of neighbouring ranges, up to `max_bytes` of results each."""
    rest = [o for o in records if not isinstance(o, Done) or o.follow or o.limits]
    plain = [o for o in records if isinstance(o, Done) and not (o.follow or o.limits)]
    whole: list[list[Done]] = []
    size_bytes = 0
    for done in sorted(plain, key=lambda o: o.start):
        size_bytes += len(done.results)
        if whole and whole[-1][-1].stop == done.start and size_bytes <= max_bytes:
            whole[-1].append(done)
        else:
            whole.append([done])
            size_bytes = len(done.results)
    return [_joined(some) for some in whole] + rest


def _joined(some: list[Done]) -> Done:
    if len(some) == 1:
        return some[0]
    items = [item for done in some for item in codec.batch_items(done.results)]
    took_s = sum(done.took_s for done in some)
    return Done(some[0].lease, some[0].start, some[-1].stop, codec.encode_items(items), took_s)
