"""Where the code of jobs may go, and what is sent."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from master.broker import Broker
from master.jobs import code_server as code_module
from master.jobs.code_server import JobCodeServer
from master.turn.answer import PeerReply
from master.turn.turn import Turn
from queue_manager.errors import RefusedError
from queue_manager.job.loading import job_version
from queue_manager.wire.messages import AskCode, Code, Refused
from tests.memory_store import MemoryStore
from tests.unit.master.conftest import FakePeer


class LinkedPeer(FakePeer):
    carries_code = True


def a_turn() -> Turn:
    store = MemoryStore()
    return Turn(Broker(store.epoch, "", random.Random(7)), store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "times.py").write_text("from jobs.factor import FACTOR\ndef work(n): return n")
    (tmp_path / "factor.py").write_text("FACTOR = 3")
    (tmp_path / "other.py").write_text("SECRET = 1")
    return tmp_path


def asked(
    folder: Path, job: str, version: str, carries: bool = True, one_machine: bool = False
) -> Any:
    """The answer to a worker."""

    async def ask() -> Any:
        peer = LinkedPeer()
        peer.carries_code = carries
        server = JobCodeServer(folder, a_turn(), one_machine)
        server.ask(PeerReply(peer.peer, 7), AskCode(7, job, version))
        async with asyncio.timeout(60.0):
            while not peer.sent:
                await asyncio.sleep(0.001)
        return peer.sent[0]

    return asyncio.run(ask())


def test_the_job_and_what_it_imports_is_sent_and_nothing_else(folder: Path) -> None:
    version = job_version("times", folder)
    answer = asked(folder, "times", version)
    files = {name: (folder / name).read_bytes() for name in ("times.py", "factor.py")}
    assert answer == Code(7, "times", version, files)


def test_nothing_is_sent_in_clear_wherever_the_worker_is(folder: Path) -> None:
    with pytest.raises(RefusedError, match="encrypted connections or within one machine only"):
        asked(folder, "times", job_version("times", folder), carries=False)


def test_code_is_sent_in_clear_where_no_other_machine_reaches_the_master(folder: Path) -> None:
    version = job_version("times", folder)
    answer = asked(folder, "times", version, carries=False, one_machine=True)
    assert isinstance(answer, Code)


def test_a_file_that_has_changed_since_is_not_sent_under_the_old_name(folder: Path) -> None:
    answer = asked(folder, "times", "0" * 64)
    assert answer == Refused(7, "jobs/times.py has just changed")


@pytest.mark.parametrize("name", ["nobody", "../times", "times.py", ""])
def test_what_is_no_job_is_refused(folder: Path, name: str) -> None:
    assert isinstance(asked(folder, name, "0" * 64), Refused)


def test_code_that_does_not_fit_into_a_frame_is_refused_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_module, "CODE_BYTES", 20)
    answer = asked(folder, "times", job_version("times", folder))
    assert "put them into the worker's image" in answer.error


def test_an_error_of_ours_is_an_answer_too(folder: Path, monkeypatch: Any, caplog: Any) -> None:
    """Whoever asked would wait for ever, and the log would have no word of it."""

    def fails(*_: Any) -> None:
        raise KeyError("of ours")

    monkeypatch.setattr(code_module, "job_files", fails)

    async def ask() -> None:
        peer = LinkedPeer()
        JobCodeServer(folder, a_turn()).ask(PeerReply(peer, 3), AskCode(3, "times", "0" * 64))
        async with asyncio.timeout(20):
            while not peer.sent:
                await asyncio.sleep(0)
        (answer,) = peer.sent
        assert isinstance(answer, Refused)
        assert (answer.seq, "error of its own" in answer.error) == (3, True)

    asyncio.run(ask())
    assert "an error of ours" in caplog.text
