"""The lines of a dead letter, or of any one task, on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from queue_manager import codec
from queue_manager.job.failures import failure_of
from queue_manager.plain.as_json import shown
from queue_manager.terminal import harmless, harmless_line
from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import RunStatus, TaskStatus
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

from .fields import field, quoted, time_text
from .plain_json import Letter
from .tries_text import tries_lines

_SHOWN = 300
"""Characters of a payload in a list of dead letters; `show` has all of it."""


def no_letters_title(run: RunStatus) -> str:
    """The one line of a list of dead letters of which a filter has chosen none."""
    return f"{_name(run)}: {run.dead:,} dead letter{'s' * (run.dead != 1)}, none is such a one"


def letters_title(run: RunStatus, *, raised: bool, chosen: bool = False) -> str:
    """The first line of a list of dead letters: how many, and what to do.

    Args:
        raised: the job's code raised an error, of which a letter has the traceback. Otherwise the
            job rejected its input, such as an argument, or a slot or a worker ended.
        chosen: a filter has chosen those that follow.
    """
    name = _name(run)
    if not run.dead:
        return f"{name}: no dead letters"
    count = f"{name}: {run.dead:,} dead letter{'s' * (run.dead != 1)}"
    if chosen:
        count += "; those that you ask for"
    if run.state == "cancelled":
        return count
    if chosen:
        return f"{count}. To try these again: qm retry {run.run} with the same options"
    if not run.job:
        return f"{count}. To try them again: qm retry {run.run}"
    if run.uploaded:
        return f"{count}. To try again: qm retry {run.run}; {_other_code(run)}"
    if raised:
        return f"{count}. Mend jobs/{run.job}.py, then: qm retry {run.run}"
    again = f"To try again: qm retry {run.run}"
    return f"{count}. {again}; where an argument is wrong: qm submit {run.job} ..."


def _name(run: RunStatus) -> str:
    return f"run {run.run} ({run.job if run.run else 'queue'})"


def _other_code(run: RunStatus) -> str:
    """How the tasks of a run whose code a client has sent get other code."""
    if run.key is None:
        return "it has no key, so other code needs a new run"
    key = shlex.quote(harmless_line(run.key))
    return f"for other code first start it again with its key, {key}"


def letter_lines(letter: Letter) -> Iterator[str]:
    """One dead letter."""
    dead = letter.letter
    yield f"task {dead.task}: {harmless(dead.error)}"
    yield field("payload", _short(shown(letter.payload), f"qm show {letter.run} {dead.task}"))
    if letter.key is not None:
        yield field("key", repr(letter.key))
    yield from _tried(dead.attempts, dead.losses, dead.worker)
    yield field("died", f"{time_text(dead.died_at)}, {harmless_line(failure_of(dead))}")
    yield from quoted(dead.evidence)


def task_lines(task: TaskStatus) -> Iterator[str]:
    """One task in any state."""
    yield f"run {task.run} ({task.job or 'queue'}), task {task.task}: {_state(task)}"
    yield field("payload", shown(_value(task.body, task.position)))
    if task.results is not None:
        yield field("result", shown(_value(task.results, task.result_position)))
    if task.key is not None:
        yield field("key", repr(task.key))
    if task.group is not None:
        yield field("group", repr(task.group))
    if task.priority:
        yield field("priority", str(task.priority))
    yield from _tried(task.attempts, task.losses, task.worker)
    yield from map(_retried, task.retries)
    if task.error:
        yield field("error" if task.state == "dead" else "last error", harmless(task.error))
        yield from quoted(task.evidence)
    yield from _printed(task)
    yield from tries_lines(task.tries, newest_shown=bool(task.error))


def _state(task: TaskStatus) -> str:
    if task.state == "leased" and task.since_s is not None:
        return f"leased for {task.since_s:.1f} s"
    if task.state == "delayed" and task.due_s is not None:
        return f"delayed, for {max(task.due_s, 0.0):.1f} s more"
    return "dead letter" if task.state == "dead" else task.state


def _tried(attempts: int, losses: int, worker: str) -> Iterator[str]:
    """The tries of a task. Only charged attempts count: a task done at the first try has none."""
    if attempts or losses:
        yield field("attempts", str(attempts) + f", and lost {_times(losses)}" * bool(losses))
    if worker:
        yield field("worker", harmless(worker))


def _retried(note: RetryNote) -> str:
    """When a task was tried again after it was a dead letter, who asked for it, and why."""
    reason = f": {harmless_line(note.reason)}" if note.reason else ""
    by = f" by {harmless_line(note.by)}" if note.by else ""
    return field("retried", f"at {time_text(note.at)}{by}{reason}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _printed(task: TaskStatus) -> Iterator[str]:
    if task.printed:
        yield field("printed", "by its last failed try, the end of it:")
        yield from quoted(task.printed)
    elif not (task.attempts or task.losses or task.retries):
        yield field("printed", "not kept: output is kept of failed tries only, it has had none")
    elif task.state == "done":
        if not task.tries:
            yield field("printed", "not kept: its tries were those of an earlier release")
    else:
        yield field("printed", "nothing by its last failed try")


def _value(body: bytes, position: int) -> Any:
    (value,) = codec.decode_each(body, position, position + 1, SHOWN_ITEM)
    return value


def _short(text: str, where: str) -> str:
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]} ... ({len(text):,} characters: {where})"
