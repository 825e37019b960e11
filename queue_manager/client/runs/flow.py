"""How far a map reads its inputs ahead, and what it gives out next.

This module waits for nothing, so the synchronous and the asynchronous face share it. `mapping` has
what goes over the wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ... import codec
from ...errors import ArgumentError, ProtocolError, QueueError
from ...job.contract import Task
from ..exceptions import exception_of
from .feeding import Feed, add_input
from .ordering import AsCompleted, InOrder, Order
from .outcomes import Cancelled, Outcome, Part, Reread, bytes_of, count_of

BUFFER = 65_536
"""How many inputs a map is ahead of its results, at most."""

HELD_BYTES = 64 * 1024 * 1024
"""How many bytes the results of these inputs take together, as far as one can tell beforehand."""

_FIRST = 1_024
"""How many inputs are read ahead while nothing is known of the results. It doubles."""

_LEAST = 16
_LOOK = 64
"""After so many inputs it is looked whether there is room, and whether results are there."""

Delivery = list[Outcome] | Reread | BaseException | None
"""Outcomes that came, or that were read again; None: there are no more; or why there are none."""


class Flow:
    """The inputs and the results of one map.

    Args:
        feed: takes the inputs.
        accepted: how many inputs the run has already. They are read and not given again.
        ordered: results come in the order of their inputs, not of their completion.
        return_exceptions: a failure is given out in the place of a result, and not raised.
        buffer: the most inputs that are ahead of the results.
        again: has outcomes read again from a task on. They come as a `Reread`.

    over: the inputs were all given. done: so were the results. given, fed: how many results were
    given out, and how many inputs were read. failed: how many of the results are failures.
    """

    def __init__(
        self,
        feed: Feed,
        accepted: int,
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        buffer: int | None = None,
        again: Callable[[int], None] = lambda first: None,
    ) -> None:
        self._feed, self._skip = feed, accepted
        self._order: Order = InOrder() if ordered else AsCompleted()
        self._again, self._asked, self._ended = again, False, False
        self._return_exceptions = return_exceptions
        self._buffer = BUFFER if buffer is None else max(1, buffer)
        self._results = self._results_bytes = 0
        self._error: BaseException | None = None
        self._stopped_by: BaseException | None = None
        self._opened: list[Any] = []
        self._first = 1
        self._complete = False
        self.over = self.done = False
        self.given = self.fed = self.failed = 0

    # --- inputs ---

    def fill(self, inputs: Iterator[Any], ready: Callable[[], bool], slice_s: float) -> None:
        """Read inputs while there is room for them.

        ready: tells whether outcomes have come. Then, or if some are here already, reading ends
            after `slice_s` seconds, so that they do not wait for a slow generator.
        """
        stop = self.given + self._window()
        until = time.monotonic() + slice_s
        clock = time.monotonic
        try:
            while self.fed < stop and not self.over and self._feed.room:
                before = self.fed
                for item in islice(inputs, min(_LOOK, stop - before)):
                    self.put(item)
                    if clock() > until and (self.ready or ready()):
                        return
                self.over = self.fed == before
        except (Exception, SystemExit, GeneratorExit) as error:  # only an interrupt comes first
            self.fail(error)

    def put(self, item: Any) -> None:
        """Give one input to the feed, or skip it.

        Raises what `Feed.add` raises, and ArgumentError for a Task that may be dropped.
        """
        if type(item) is Task and (item.key is not None or item.quota is not None):
            raise ArgumentError("a Task with a key or a quota may have no result: use start()")
        if self._skip:
            self._skip -= 1
        else:
            add_input(self._feed, item, self.fed + 1)
        self.fed += 1

    def fail(self, error: BaseException) -> None:
        """The inputs have raised. The results of those before come first."""
        self._error, self.over = error, True

    @property
    def whole(self) -> bool:
        """Whether all inputs were given without an error."""
        return self.over and self._error is None

    @property
    def roomy(self) -> bool:
        """Whether one more input may be read."""
        return not self.over and self.fed < self.given + self._window() and self._feed.room

    def _window(self) -> int:
        """How many inputs may be ahead of the results."""
        most = min(self._buffer, _FIRST + 2 * self.given)
        if self._results:
            each_bytes = max(1.0, self._results_bytes / self._results)
            most = min(most, max(_LEAST, int(HELD_BYTES / each_bytes)))
        return most

    # --- results ---

    def receive(self, delivery: Delivery) -> int:
        """Take what has come. Returns how many bytes that is, with those of failures.

        Raises the error if it is one.
        """
        if delivery is None:
            self._complete = True
            return 0
        if isinstance(delivery, Reread):
            self._asked = False
            for outcome in delivery.outcomes:
                self._order.add(outcome)
            self._order.left_from(delivery.stop)
            return 0
        if isinstance(delivery, BaseException):
            raise delivery
        size_bytes = 0
        for outcome in delivery:
            size_bytes += bytes_of(outcome)
            self._results += count_of(outcome)
            self._order.add(outcome)
        self._results_bytes += size_bytes
        return size_bytes

    def take(self) -> list[Any] | None:
        """The next results, some at a time. None: receive more before, unless it is `done`.

        There is one result for each input that was read. A run that was there already may have
        more tasks than this call has inputs.

        What was left with the master is asked for when its turn comes.

        Raises a failure in its turn, unless it is given out as a result, and what the inputs have
        raised behind all results.
        """
        if self.over and not self._ended:
            self._order.end(self.fed)
            self._ended = True
        if not self._is_whole and not self._opened:
            self._open_next()
        values = [] if self._is_whole else self._opened[: max(0, self.fed - self._first + 1)]
        if not values:
            if self._is_whole or not self._reads_again():
                self._look_for_end()
            return None
        self._opened = self._opened[len(values) :]
        self._first += len(values)
        self.given += len(values)
        return values

    @property
    def ready(self) -> bool:
        """Whether `take` has something to give."""
        if self._opened:
            return self._first <= self.fed
        return self._order.ready(self.fed)

    @property
    def short(self) -> bool:
        """Whether nothing but inputs is missing: each that was read has had its result."""
        held = bool(self._opened) or self._order.holds
        return held and not self.over and self.given == self.fed

    @property
    def _is_whole(self) -> bool:
        """Whether each input has had its result."""
        return self.over and self.given >= self.fed

    def _open_next(self) -> None:
        """Decode the next outcome, if it is here. Raises as `take`."""
        if self._stopped_by is not None:
            raise self._stopped_by
        outcome = self._order.take(self.fed)
        if outcome is None:
            return
        self._first = outcome.task
        if isinstance(outcome, Part):
            self._opened = self._values(outcome)
            if not self._opened and self._stopped_by is not None:
                raise self._stopped_by
            return
        self.failed += count_of(outcome)
        if isinstance(outcome, Cancelled):
            tasks = range(outcome.task, outcome.task + outcome.tasks)
            errors: list[BaseException] = [QueueError(f"task {n} was cancelled") for n in tasks]
        else:
            errors = [exception_of(outcome)]
        self._opened = [self._failure(error) for error in errors]

    def _reads_again(self) -> bool:
        """Whether the next results are read again, now or soon."""
        if not self._asked:
            first = None if self._opened else self._order.missing(self.fed)
            if first is not None:
                self._asked = True
                self._order.reopen()
                self._again(first)
        return self._asked

    def _look_for_end(self) -> None:
        if not self._is_whole and not (self._complete and self.given < self.fed):
            return
        if self._error is not None:
            raise self._error
        if self.given < self.fed:
            raise QueueError("the run was cancelled before all its tasks were done")
        self.done = True

    def _values(self, part: Part) -> list[Any]:
        try:
            return codec.decode_batch(part.results, part.start, part.start + part.tasks)
        except ProtocolError:
            values = codec.decode_each(part.results, part.start, part.start + part.tasks)
        for place, value in enumerate(values):
            if type(value) is codec.Undecodable:
                error = value.told("the result", "program")
                if not self._return_exceptions:
                    self._stopped_by = error
                    return values[:place]
                values[place] = error
        return values

    def _failure(self, error: BaseException) -> BaseException:
        if self._return_exceptions:
            return error
        raise error
