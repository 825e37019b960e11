"""Exceptions, results and follow-ups as the records that the master takes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import pytest

from queue_manager import Limit, Reject, Result, Retry, Task, codec
from queue_manager.errors import TooLargeError
from queue_manager.job.batching import blocks_of
from queue_manager.wire.limits import EXCHANGE_BYTES
from queue_manager.wire.messages import encode
from queue_manager.wire.records import BLOCK_BYTES, BLOCK_TASKS, Done, Failed, GroupLimit, NewBlock
from queue_manager.wire.weight import weigh
from worker.ipc.outcomes import EVIDENCE_CHARS, branch, done, failed, one_line, results_of
from worker.slot.stdio import _Tee

MAX = 1 << 20


def test_follow_ups_are_split_by_what_a_block_has_in_common() -> None:
    """Order is kept; keyed and plain tasks, groups, priorities and delays do not mix."""
    tasks = [
        Task(1),
        Task(2),
        Task(3, key="a"),
        Task(4, key="b"),
        Task(5, group="g"),
        Task(6, group="g", priority=1),
        Task(7, delay_s=2.0),
    ]
    blocks = blocks_of(tasks, MAX)
    assert [codec.decode_batch(b.body) for b in blocks] == [[1, 2], [3, 4], [5], [6], [7]]
    assert [b.keys for b in blocks] == [None, ["a", "b"], None, None, None]
    assert [(b.group, b.priority, b.delay_s) for b in blocks[2:]] == [
        ("g", 0, 0.0),
        ("g", 1, 0.0),
        (None, 0, 2.0),
    ]


def test_follow_ups_are_cut_by_count() -> None:
    """No block has more than 1,024 tasks."""
    blocks = blocks_of([Task(n) for n in range(BLOCK_TASKS + 1)], MAX)
    assert [b.count for b in blocks] == [BLOCK_TASKS, 1]


def test_follow_ups_are_cut_by_bytes() -> None:
    """A block has at most 64 KiB, or one larger task."""
    blocks: list[NewBlock] = blocks_of([Task(b"x" * 40_000)] * 3 + [Task(b"x" * 100_000)], MAX)
    assert [b.count for b in blocks] == [1, 1, 1, 1]
    assert len(blocks[0].body) < BLOCK_BYTES < len(blocks[3].body)


def test_a_follow_up_too_large_is_refused() -> None:
    """The line says what to do instead."""
    with pytest.raises(TooLargeError, match="shared disk"):
        blocks_of([Task(b"x" * 2_000)], 1_000)


def test_follow_ups_of_more_than_4_mib_together_fail_their_task() -> None:
    """They travel in one frame with its result; the line says what to do instead."""
    fits, more = ([b"x" * 1_000_000] * count for count in (4, 5))
    assert isinstance(branch(1, 2, Result(0, fits), 0.1, MAX), Done)
    found = branch(1, 2, Result(0, more), 0.1, MAX)
    assert isinstance(found, Failed)
    assert "bytes, and may take 4,194,304: let one of them submit the rest" in found.error


def test_results_that_are_large_together_are_not_failures() -> None:
    """Only one that is too large by itself is."""
    found = done(7, 10, ["x" * 400, "y" * 400, "z" * 1_100], 3.0, 1_000)
    assert [type(o) for o in found] == [Done, Done, Failed]
    assert isinstance(found[2], Failed)
    assert found[2].position == 12
    assert "QUEUE_MAX_BYTES" in found[2].error


def test_any_exception_makes_one_line() -> None:
    """Line breaks, lone surrogates and a broken __str__ included."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert one_line(ValueError("two\nlines")) == "ValueError: two lines"
    assert one_line(KeyError()) == "KeyError"
    assert one_line(BrokenError()) == "BrokenError: (its text cannot be read)"
    encode(failed(1, 2, ValueError("\udc80"), 0.0))


def test_a_reason_to_reject_is_one_line_of_bounded_length() -> None:
    """As the text of any other exception; a log and a list of dead letters have a line for it."""
    assert failed(7, 0, Reject("no\n\ttwo"), 0.1).error == "no two"
    assert len(failed(7, 0, Reject("x" * 9_000_000), 0.1).error) == 500
    assert failed(7, 0, Reject(""), 0.1).error == "Reject"


def test_limits_go_with_the_result_that_sets_them() -> None:
    outcome = branch(7, 2, Result(1, limits={"a": Limit(2, 0.5), "b": Limit()}), 0.1, MAX)
    assert isinstance(outcome, Done)
    assert outcome.limits == {"a": GroupLimit(2, 0.5), "b": GroupLimit()}


def test_limits_count_for_the_size_of_what_follows_and_of_an_exchange() -> None:
    limits = {f"{n:x>1000}": Limit(1) for n in range(2_500)}
    outcome = branch(7, 2, Result(1, limits=limits), 0.1, MAX)
    assert len(encode(outcome)) > EXCHANGE_BYTES // 2
    assert weigh(outcome).fits()
    assert not weigh(outcome).with_(weigh(outcome)).fits()
    much = branch(
        7, 2, Result(1, limits=limits | {f"{n:y>1000}": Limit() for n in range(2_500)}), 0, MAX
    )
    assert isinstance(much, Failed)
    assert "may take 4,194,304" in much.error


def test_a_retry_of_a_whole_group_says_so() -> None:
    outcome = failed(7, 0, Retry(2.5, whole_group=True), 0.1)
    assert (outcome.delay_s, outcome.whole_group) == (2.5, True)
    assert outcome.error == "Retry in 2.5 s, with its whole group"
    assert not failed(7, 0, Retry(2.5), 0.1).whole_group


def test_a_retry_may_say_why() -> None:
    why = "the host\nanswers 429"
    assert failed(7, 3, Retry(2.5, reason=why), 0.1).error == "the host answers 429"


def raised(work: Callable[[], Any]) -> Failed:
    """The record of a task whose `work` is this."""
    try:
        work()
    except BaseException as error:
        return failed(7, 0, error, 0.1)
    raise AssertionError("it did not raise")


def test_a_retry_without_a_reason_says_that_and_no_none() -> None:
    assert failed(7, 3, Retry(), 0.1).error == (
        "Retry: the job asked for another try, without a reason"
    )
    assert "None" not in str(Retry())


def test_of_a_text_of_10_mb_the_type_the_file_and_both_ends_are_kept() -> None:
    def work() -> None:
        raise ValueError("begin" + "x" * 10_000_000 + "end")

    outcome = raised(work)
    assert outcome.error.startswith("ValueError: beginxx")
    assert outcome.error.endswith("xxend")
    assert len(outcome.error) <= 500
    assert len(outcome.evidence) <= EVIDENCE_CHARS
    assert 'test_outcomes.py", line ' in outcome.evidence
    assert "in work\n" in outcome.evidence
    assert "ValueError: beginxx" in outcome.evidence
    assert outcome.evidence.endswith("xxend\n")


def test_of_a_long_chain_the_last_traceback_is_whole_and_its_first_is_begun() -> None:
    def work(depth: int = 40) -> None:
        try:
            if not depth:
                raise KeyError("the first")
            work(depth - 1)
        except Exception as error:
            raise ValueError(f"number {depth}: " + "y" * 5_000) from error

    outcome = raised(work)
    assert len(outcome.evidence) <= EVIDENCE_CHARS
    assert "KeyError: 'the first'" in outcome.evidence
    last = outcome.evidence.rpartition("Traceback (most recent call last)")[2]
    assert "in work\n" in last
    assert "number 40: " in last


def test_a_write_that_fails_blames_the_line_that_wrote() -> None:
    class NoPrinted:
        def note(self, *_: object) -> None:
            raise AssertionError

    stream = _Tee(io.TextIOWrapper(io.BytesIO(), "ascii"), 1, cast(Any, NoPrinted()))
    outcome = raised(lambda: stream.write(cast(Any, 5)))
    assert "test_outcomes.py" in outcome.evidence
    assert "printed.py" not in outcome.evidence


def test_what_the_locale_cannot_write_fails_no_task() -> None:
    class Noted:
        text = ""

        def note(self, stream: int, text: str, size_bytes: int) -> None:
            self.text += text

    out, noted = io.BytesIO(), Noted()
    stream = _Tee(io.TextIOWrapper(out, "ascii"), 1, cast(Any, noted))
    print("é", file=stream)
    assert (out.getvalue(), noted.text) == (b"\\xe9\n", "é\n")


def test_keys_and_names_count_for_the_size_of_what_follows() -> None:
    """60,000 keys of 300 characters are 18 MB, which no frame holds."""
    follow = [Task(n, key=f"{n:0300}") for n in range(60_000)]
    found = branch(1, 2, Result(0, follow), 0.1, MAX)
    assert isinstance(found, Failed)
    assert "with their keys, take " in found.error
    assert "may take 4,194,304" in found.error


def test_a_result_and_its_follow_ups_fit_in_one_frame_together() -> None:
    most = 7 * 1024 * 1024
    found = branch(1, 2, Result(b"x" * (most - 100), [b"y" * 1_500_000]), 0.1, most)
    assert isinstance(found, Failed)
    assert "let one of them submit the rest" in found.error


def test_follow_ups_that_change_their_kind_too_often_say_so() -> None:
    found = branch(1, 2, Result(0, [Task(n, priority=n) for n in range(17_000)]), 0.1, MAX)
    assert isinstance(found, Failed)
    assert "17,000 times, and may 16,384 times: sort them" in found.error


def test_consecutive_results_are_one_record_whatever_their_order() -> None:
    """Each has the time that its own tasks took."""
    ended = [(p, p, 0.5) for p in (3, 1, 2, 5)]
    first, second = results_of(1, ended, 1_000)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert (first.start, first.stop, first.took_s) == (1, 4, 1.5)
    assert codec.decode_batch(first.results) == [1, 2, 3]
    assert (second.start, second.stop, second.took_s) == (5, 6, 0.5)


def test_large_results_that_come_together_stay_apart() -> None:
    """As one record they would be more than a frame holds, and all of them would fail."""
    ended = [(p, "x" * 400, 0.5) for p in range(4)] + [(4, "x" * 1_500, 0.25)]
    records = results_of(1, ended, 1_000)
    whole = [one for one in records if isinstance(one, Done)]
    assert [(one.start, one.stop) for one in whole] == [(0, 2), (2, 4)]
    (too_large,) = (one for one in records if isinstance(one, Failed))
    assert (too_large.position, too_large.took_s) == (4, 0.25)
