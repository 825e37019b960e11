"""What is told of tasks: texts that fit in a frame, and how one task stands."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.broker.leases.lease import Lease, Session
from master.broker.runs.run import Run
from master.changes import OutcomeRecord, TrackedRecord
from master.reads import ResultPage, TaskRecord
from master.server.letters import cut_back, cut_front, trimmed
from master.server.task_views import CHOSEN_BYTES, TASK_BYTES, TRIES_BYTES, TaskViews
from master.tries import Fate, TryRecord
from master.turn.answer import PeerReply
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import TEXT_CHARS
from queue_manager.wire.messages import AskResults, AskTask, TaskShown, decode_reply, encode
from queue_manager.wire.records import FRAME_BYTES, DeadLetter, ResultBlock, RunOptions, TaskStatus
from tests.unit.master.conftest import FakePeer, reply_to

WALL = 5_000.0


def letters(count: int, size: int) -> list[ResultBlock]:
    text = "é" * size
    dead = [DeadLetter(n, 1, 0, text, text + "the end", "host/6", text) for n in range(count)]
    return [ResultBlock(1, count, codec.encode_batch([0] * count), None, [], dead, {})]


def test_a_page_of_large_dead_letters_fits_in_a_frame() -> None:
    (block,) = trimmed(letters(1_024, 30_000), dead=True)
    assert len(encode(block)) < FRAME_BYTES
    assert all(d.evidence.startswith("[cut] ") for d in block.dead)
    assert all(d.evidence.endswith("the end") for d in block.dead)
    assert all(d.error.endswith(" [cut]") for d in block.dead)


def test_a_few_dead_letters_are_told_whole() -> None:
    blocks = letters(3, 30_000)
    assert trimmed(blocks, dead=True) == blocks


def test_results_carry_errors_and_no_evidence() -> None:
    (block,) = trimmed(letters(3, 100), dead=False)
    assert {(d.error, d.evidence, d.printed) for d in block.dead} == {("é" * 100, "", "")}


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7])
def test_a_cut_never_splits_a_character(most: int) -> None:
    assert set(cut_front("é" * 9, most).removeprefix("[cut] ")) <= {"é"}
    assert set(cut_back("é" * 9, most).removesuffix(" [cut]")) <= {"é"}
    assert cut_front("éé", 4) == cut_back("éé", 4) == "éé"


def test_a_page_of_dead_letters_is_what_the_store_chooses_by_a_checked_filter() -> None:
    rig, peer = Rig(), FakePeer()
    asked: list[Any] = []

    def read(*args: Any) -> ResultPage:
        asked.append(args)
        return ResultPage(letters(2, 9), 9, complete=False)

    store: Any = rig.views._turn.store
    store.read_chosen = read
    only = FailureFilter(((5, 7), (2, 3), (6, 9)), worker="box1")
    message = AskResults(3, 7, after=4, dead=True, only=only)
    rig.views.results(reply_to(peer, message), message)
    checked = FailureFilter(((2, 3), (5, 9)), worker="box1")
    assert asked == [(7, 4, CHOSEN_BYTES, checked)], "its ranges are in order and apart"
    page = peer.sent[-1]
    assert [letter.task for block in page.blocks for letter in block.dead] == [0, 1]
    assert (page.last, page.complete) == (9, False), "there may be more behind it"


# --- one task ---


class Rig:
    """A run of five tasks in one block, of which the second is looked at."""

    def __init__(self) -> None:
        self.run = Run(7, "job", [], None, RunOptions(), 0.0, tasks=5)
        self.outcome: OutcomeRecord | None = None
        self.tracked: TrackedRecord | None = None
        self.session = Session(1, 1, name="host/6")
        self.tries: list[TryRecord] = []
        store = SimpleNamespace(
            read_task=self._read,
            find_task=lambda run, key: 2 * (key == "k"),
            read_tries=lambda run, task: self.tries if (run, task) == (7, 2) else [],
        )
        broker = SimpleNamespace(runs={7: self.run}, recall={7: self.run}.get, next_run=8)
        turn: Any = SimpleNamespace(broker=broker, store=store, wall=WALL)
        worker = SimpleNamespace(session=self.session, name="host/6")
        sources: Any = SimpleNamespace(workers=lambda: [worker], stock=lambda: [])
        self.views = TaskViews(turn, sources)

    def _read(self, run: int, task: int) -> TaskRecord:
        body = codec.encode_batch([10, 11, 12, 13, 14])
        return TaskRecord(run, 3, task - 1, body, "k", "g", 4, self.outcome, self.tracked)

    def track(self, state: Any, **fields: Any) -> None:
        self.tracked = TrackedRecord(7, 2, 3, 1, state, 2, 1, worker="host/9", **fields)

    def lend(self, *ranges: tuple[int, int], block: int = 3) -> None:
        since = time.monotonic() - 2.0
        self.session.leases[1] = Lease(
            1, self.session, self.run, self.run.lane, block, 1, list(ranges), 0, None, since
        )

    def show(self, task: int = 2, key: str = "", tries: bool = False) -> TaskStatus:
        sent: list[Any] = []
        peer = SimpleNamespace(send_frame=lambda body: sent.append(decode_reply(body)))
        self.views.show(PeerReply(cast(Peer, peer), 1), AskTask(1, 7, task, key, tries))
        assert isinstance(sent[0], TaskShown)
        return sent[0].task


def test_a_task_that_nobody_has_waits() -> None:
    rig = Rig()
    task = rig.show()
    assert (task.state, task.key, task.group, task.priority) == ("waiting", "k", "g", 4)
    assert codec.decode_batch(task.body) == [11], "no more than its own payload travels"
    rig.lend((0, 1), (2, 5))
    assert rig.show().state == "waiting", "its neighbours are leased, it is not"
    rig.lend((0, 5), block=4)
    assert rig.show().state == "waiting"


def test_a_task_is_shown_by_its_key() -> None:
    rig = Rig()
    assert rig.show(0, "k").task == 2
    with pytest.raises(RefusedError, match="run 7: none of its newest tasks has this key"):
        rig.show(0, "other")


def test_a_task_that_is_leased_tells_to_whom() -> None:
    rig = Rig()
    rig.lend((1, 5))
    task = rig.show()
    assert (task.state, task.worker) == ("leased", "host/6")
    assert task.since_s == pytest.approx(2.0, abs=0.5)
    rig.track("waiting", error="bad", due_at=WALL - 1)
    task = rig.show()
    assert (task.state, task.worker, task.error) == ("leased", "host/6", "bad")


def test_a_task_that_is_done_tells_its_result() -> None:
    rig = Rig()
    rig.outcome = OutcomeRecord(1, 7, 3, 1, 1, 4, codec.encode_batch([21, 22, 23]))
    task = rig.show()
    assert task.results is not None
    assert (task.state, codec.decode_batch(task.results)) == ("done", [21])


def test_a_delay_is_told_and_never_more_than_it_was() -> None:
    rig = Rig()
    rig.track("waiting", due_at=WALL + 30, delay_s=40.0)
    task = rig.show()
    assert (task.state, task.due_s, task.attempts, task.losses) == ("delayed", 30.0, 2, 1)
    rig.track("waiting", due_at=WALL + 9_000, delay_s=40.0)
    assert rig.show().due_s == 40.0
    rig.track("waiting", due_at=WALL, delay_s=40.0)
    assert (rig.show().state, rig.show().due_s) == ("waiting", None)


def test_a_dead_letter_is_one_whatever_became_of_its_run() -> None:
    rig = Rig()
    rig.track("dead", error="bad", evidence="x" * 2 * TASK_BYTES, printed="out")
    rig.run.state = "cancelled"
    task = rig.show()
    assert (task.state, task.error, task.printed, task.worker) == ("dead", "bad", "out", "host/9")
    assert len(task.evidence) < TASK_BYTES + 10
    rig.tracked = None
    assert rig.show().state == "cancelled"


@pytest.mark.parametrize("task", [0, -1, 6, 2**62])
def test_a_task_that_is_not_there_is_refused(task: int) -> None:
    with pytest.raises(RefusedError, match=rf"run 7 has no task {task}; it has 1 to 5"):
        Rig().show(task)


def test_tries_are_told_to_whoever_asks_for_them_and_fit_in_a_frame() -> None:
    rig = Rig()
    rig.track("done")
    text = "\N{CJK UNIFIED IDEOGRAPH-75DB}" * TEXT_CHARS  # three bytes each
    failed = TryRecord(1, Fate.FAILED, 60.0, 0.5, "h/1", text, text, text, b"r")
    rig.tries = [replace(failed, number=number) for number in range(12, 2, -1)]
    assert rig.show().tries == [], "others pay nothing for them"
    told = rig.show(tries=True)
    assert [(one.number, one.fate, one.worker) for one in told.tries] == [
        (number, "failed", "h/1") for number in range(12, 2, -1)
    ]
    assert told.tries[0].ended_at - (told.tries[0].took_s or 0.0) == 59.5
    assert len(encode(TaskShown(1, told))) < TRIES_BYTES + 4 * TASK_BYTES < FRAME_BYTES
    assert all(one.evidence.startswith("[cut]") for one in told.tries), "the end is kept"
    rig.tries = [replace(failed, evidence="trace", printed="out", error="no")]
    (one,) = rig.show(tries=True).tries
    assert (one.evidence, one.printed, one.error, one.raised) == ("trace", "out", "no", b"r")


def test_a_result_that_nobody_can_read_is_refused_and_closes_no_session() -> None:
    rig = Rig()
    rig.outcome = OutcomeRecord(1, 7, 3, 1, 1, 4, b"L\x93")
    with pytest.raises(RefusedError, match=r"run 7, task 3 can't be shown: "):
        rig.show(3)
