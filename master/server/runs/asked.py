"""What a request for a run may say: its key, its arguments, and the runs that it is to follow.

Changes nothing. `runs` begins the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from queue_manager import codec
from queue_manager.errors import QueueError, RefusedError
from queue_manager.plain.bounded import Most, fits
from queue_manager.trace import is_traceparent
from queue_manager.wire.limits import ARGS, ARGS_BYTES, KEY_BYTES, printable
from queue_manager.wire.messages import StartRun
from queue_manager.wire.stock.opcodes import SERVED_ITEM

from ...broker.runs.run import Run
from ...changes import QUEUE_RUN
from ...turn.run_lookup import check_run, restored
from ...turn.turn import Turn

_COMPARED = Most(ARGS_BYTES, 8 * ARGS_BYTES)
"""The largest arguments of which the values are compared. Without shared parts none are larger."""


class KeyTakenError(RefusedError):
    """The key that is asked for is that of a run which is something else.

    what: what that run is, behind its number.
    """

    def __init__(self, run: Run, what: str) -> None:
        super().__init__(f"the key {run.key!r} is that of run {run.id}{what}: take another one")


@contextlib.contextmanager
def made_of_arguments() -> Iterator[None]:
    """A refusal of a key that the job has made of the arguments says so."""
    try:
        yield
    except KeyTakenError as error:
        raise RefusedError(f"{error}, with --key; this one is made of the arguments") from None


def check_asked(ask: StartRun) -> None:
    """Raise RefusedError when the key or the arguments of a run are too large, or don't fit it."""
    _check_feeder(ask)
    if ask.traceparent and not is_traceparent(ask.traceparent):
        trace = printable(ask.traceparent)
        raise RefusedError(f"{trace!r} is no traceparent of W3C's trace context")
    args = ask.args
    size = len((ask.key or "").encode())
    if size > KEY_BYTES:
        raise RefusedError(f"the key takes {size:,} bytes, and may take {KEY_BYTES:,}: shorten it")
    many = len(args) > ARGS
    size = 0 if many else sum(len(arg.encode()) for arg in args) + len(ask.arguments)
    if many or size > ARGS_BYTES:
        taken = "" if many else f" take {size:,} bytes, and"
        count = f"{len(args):,} " * (not ask.arguments)
        raise RefusedError(
            f"the {count}arguments{taken} may be {ARGS:,} and take"
            f" {ARGS_BYTES:,} bytes: put them in a file and pass its path"
        )


def _check_feeder(ask: StartRun) -> None:
    if ask.feeder in ("client", "clients") and (ask.after or ask.arguments):
        raise RefusedError(
            "a client gives the tasks of this run, so it can't have arguments as values, nor be"
            " after other runs"
        )
    if ask.feeder not in ("client", "clients") and not ask.lasting:
        raise RefusedError("a runner gives the tasks of this run, so it does not go with a client")
    if ask.feeder == "results" and not ask.after:
        raise RefusedError("its tasks are the results of other runs: say after which ones it is")
    if ask.feeder == "results" and (ask.args or ask.arguments):
        raise RefusedError("its tasks are the results of other runs, so it takes no arguments")


def check_kind(run: Run, ask: StartRun) -> None:
    """Raise RefusedError when the run with the key that is asked for can't be what is asked for."""
    if ask.lasting and not run.options.lasting:
        raise KeyTakenError(run, ", which goes with its program")
    if ask.inputs_only and not run.options.inputs_only and run.tasks != run.accepted:
        raise RefusedError(
            f"the key {ask.key!r} is that of run {run.id}, which has tasks with keys, quotas or"
            " follow-ups, so its results can't be told by its inputs: read them with"
            " run(KEY).results(), or take another key"
        )


def same_arguments(some: bytes, others: bytes) -> bool:
    """Whether arguments that were given as values are equal. A set is encoded in any order.

    Arguments that are short because they hold the same values many times are the same only if
    they are encoded alike: Python would compare each of those values each time, and the master
    waits for that.
    """
    if some == others:
        return True
    if not (some and others):
        return False
    try:
        one, other = (codec.decode(body, SERVED_ITEM) for body in (some, others))
        if not (fits(one, _COMPARED) and fits(other, _COMPARED)):
            return False
        return bool(one == other)
    except (QueueError, ValueError, RecursionError):  # arrays, say, are not simply equal
        return False


def other_code(run: Run, ask: StartRun, version: str) -> bool:
    """Whether a request brings other code than a run has. version: that of the request's code.

    The version of one and the same function is another one in each process, so the fingerprints
    count, unless a client is too old to say one.
    """
    if ask.code is None or version == run.version:
        return False
    known = run.options.fingerprint
    return not (known and known == ask.fingerprint)


def not_in_memory(turn: Turn, numbers: Iterable[int]) -> set[int]:
    """Those of these runs that must be read before `predecessors` is called."""
    recall, below = turn.broker.recall, turn.broker.next_run
    return {number for number in numbers if 0 < number < below and recall(number) is None}


def predecessors(turn: Turn, numbers: Iterable[int]) -> list[Run]:
    """The runs that a new run is to follow, each once, while its start is staged.

    Raises RefusedError when there is no such run, or the new one could never begin.
    """
    return list(_predecessors(turn, numbers))


def _predecessors(turn: Turn, numbers: Iterable[int]) -> Iterator[Run]:
    for number in dict.fromkeys(numbers):
        if number == QUEUE_RUN:
            raise RefusedError("the queue run never ends, so no run can be after it")
        run = turn.broker.recall(number)
        if run is None and 0 < number < turn.broker.next_run:
            run = restored(turn, turn.known.run(number))
        if run is None:
            raise RefusedError(f"no run {number} to be after: see `qm status`")
        check_run(turn, run)
        if run.state == "cancelled":
            raise RefusedError(f"run {number} was cancelled: submit it again, and name the new run")
        if not run.options.lasting:
            raise RefusedError(f"run {number} goes with its program, so no run can be after it")
        yield run
