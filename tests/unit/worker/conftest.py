"""A worker without a master: a fake link that records what is sent, and jobs in a folder."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from queue_manager import codec
from queue_manager.job.loading import job_version
from queue_manager.settings import Settings
from queue_manager.wire.messages import Exchange, Leases, Revoked, Welcome
from queue_manager.wire.records import Done, Failed, HeldLease, Lease, Released
from worker.ipc.pipe import Frames, Give, Report, SlotEnd, decode_report, frame
from worker.ipc.shared_page import SharedPage
from worker.processes.orphans import adopt
from worker.slot.main import Slot
from worker.slot.reporter import Watch
from worker.slot.stdio import Stdio
from worker.supervisor.supervisor import Supervisor

DEADLINE_S = 60.0


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores SIGTERM is killed after 0.3 s; one test waits for the real 2 s."""
    monkeypatch.setattr("worker.supervisor.slots.slot_process.GRACE_S", 0.3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits behind a task stays there: on a busy machine a start alone may take the 1 s."""
    monkeypatch.setattr("worker.supervisor.pool.deadlines.LONG_S", 60.0)


class Jobs:
    """A folder of jobs, and leases of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def write(self, source: str, name: str = "trial") -> None:
        (self.folder / f"{name}.py").write_text(dedent(source))

    def lease(
        self,
        payloads: list[Any],
        job: str = "trial",
        *,
        timeout_s: float | None = None,
        start: int = 0,
        version: str = "",
        limited: bool = False,
    ) -> Lease:
        body = codec.encode_batch(payloads)
        number, count = next(self._numbers), len(payloads)
        lease = Lease(number, 1, job, 1, start, count, body, timeout_s)
        return msgspec.structs.replace(lease, block=7, version=version, limited=limited)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    folder = tmp_path / "jobs"
    folder.mkdir()
    return Jobs(folder)


def wait_until(condition: Callable[[], Any]) -> Any:
    """Wait for something true, which is returned."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)
    return found


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[[Callable[[], Any]], Any]:
    return wait_until


# --- a slot in a thread ----------------------------------------------------------------------


class SlotThread:
    """The slot's own code at the end of a socket pair, in a thread of the test."""

    def __init__(self, jobs: Jobs) -> None:
        ours, theirs = socket.socketpair()
        self._sock, self._frames, self._jobs = ours, Frames(), jobs
        ours.settimeout(DEADLINE_S)
        self.page = SharedPage.create()
        watch = Watch(lambda: False, lambda: None)
        watch.start()
        printed = Stdio(self.page)
        slot = Slot(SlotEnd(theirs), self.page, jobs.folder, watch, printed)
        self.thread = threading.Thread(target=slot.serve, daemon=True)
        self.thread.start()
        self._reports: list[Report] = []

    def give(
        self, lease: Lease, *, row: int = 0, version: str | None = None, max_bytes: int = 1 << 20
    ) -> None:
        if version is None:
            version = job_version(lease.job, self._jobs.folder)
        self.page.rows[row].reset(lease.start, lease.stop)
        self._sock.sendall(frame(Give(lease, row, version, max_bytes)))

    def report(self) -> Report:
        """The next report."""
        while not self._reports:
            data = self._sock.recv(1 << 20)
            assert data, "the slot closed its pipe"
            self._reports += [decode_report(body) for body in self._frames.feed(data)]
        return self._reports.pop(0)

    def outcomes(self) -> list[Any]:
        """All outcomes until a lease is over."""
        found: list[Any] = []
        while True:
            report = self.report()
            found += report.outcomes
            if report.finished:
                return found

    def run(self, payloads: list[Any], **how: Any) -> list[Any]:
        """Give one lease and wait for its outcomes."""
        self.give(self._jobs.lease(payloads), **how)
        return self.outcomes()

    def close(self) -> None:
        self._sock.close()
        self.thread.join(DEADLINE_S)


@pytest.fixture
def slot(jobs: Jobs) -> Iterator[SlotThread]:
    slot = SlotThread(jobs)
    yield slot
    slot.close()


# --- a whole worker --------------------------------------------------------------------------


class FakeLink:
    """Takes the place of `Link`: connects to nothing and records what is sent."""

    def __init__(
        self,
        masters: Any,
        authkey: bytes,
        hello: Any,
        *,
        on_message: Any,
        on_up: Any,
        on_down: Any,
        on_room: Any,
        mode: Any,
    ) -> None:
        self.on_message, self.on_up, self.on_down, self.hello = on_message, on_up, on_down, hello
        self.on_room = on_room
        self.where = str(masters)
        self.up = False
        self.roomy = True
        self.carries_code = True
        self.answers = True
        self.sent: list[Any] = []
        self.unanswered: list[int] = []
        self._closed = asyncio.Event()

    async def run(self) -> None:
        await self._closed.wait()

    def connect(self, held: list[HeldLease] | None = None) -> list[HeldLease]:
        """A new session, in which all that is claimed is recognized, or just `held`."""
        claimed: list[HeldLease] = self.hello().held
        self.up = True
        self.on_up(Welcome("test", 1 << 20, claimed if held is None else held))
        return claimed

    def drop(self) -> None:
        self.up = False
        self.unanswered.clear()
        self.on_down("test")

    def send(self, message: Any) -> None:
        if not self.up:
            return
        self.sent.append(message)
        if isinstance(message, Exchange):
            self.unanswered.append(message.seq)
            if self.answers:
                asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        """Acknowledge what was sent so far."""
        while self.unanswered:
            self.on_message(Leases(self.unanswered.pop(0), []))

    def close(self) -> None:
        self._closed.set()


class Rig:
    """A supervisor with real slots and a fake link."""

    def __init__(self, supervisor: Any) -> None:
        self.supervisor = supervisor
        self.link: FakeLink = supervisor.link

    @property
    def exchanges(self) -> list[Exchange]:
        return [message for message in self.link.sent if isinstance(message, Exchange)]

    @property
    def outcomes(self) -> list[Any]:
        return [outcome for exchange in self.exchanges for outcome in exchange.outcomes]

    @property
    def done(self) -> dict[tuple[int, int], Any]:
        """Results by lease and position."""
        return {
            (o.lease, o.start + i): value
            for o in self.outcomes
            if isinstance(o, Done)
            for i, value in enumerate(codec.decode_batch(o.results))
        }

    @property
    def failed(self) -> list[Failed]:
        return [o for o in self.outcomes if isinstance(o, Failed)]

    @property
    def released(self) -> dict[int, list[int]]:
        """Positions that went back, by lease."""
        found: dict[int, list[int]] = {}
        for o in self.outcomes:
            if isinstance(o, Released):
                found.setdefault(o.lease, []).extend(range(o.start, o.stop))
        return found

    @property
    def wanted(self) -> int:
        return sum(exchange.want for exchange in self.exchanges)

    @property
    def pids(self) -> list[int]:
        return [slot.pid for slot in self.slots]

    @property
    def slots(self) -> list[Any]:
        slots: list[Any] = self.supervisor.pool.inventory.slots
        return slots

    def give(self, *leases: Lease) -> None:
        self.link.on_message(Leases(0, list(leases)))

    def revoke(self, *leases: Lease) -> None:
        self.link.on_message(Revoked(0, [lease.number for lease in leases], "cancelled"))

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something true, which is returned."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := condition()):
            assert time.monotonic() < deadline, f"it did not happen; sent: {self.link.sent}"
            await asyncio.sleep(0.002)
        return found


Scenario = Callable[[Rig], Awaitable[None]]


@pytest.fixture
def run_worker(jobs: Jobs, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario with a worker around it, which is drained at the end."""

    def run(
        scenario: Scenario,
        *,
        slots: int = 1,
        drain_s: float = 0.0,
        adopts: bool = False,
        worker_jobs: Any = "master",
        tags: frozenset[str] = frozenset(),
    ) -> None:
        settings = Settings(
            jobs_folder=jobs.folder,
            worker_slots=slots,
            worker_drain_s=drain_s,
            worker_jobs=worker_jobs,
            worker_tags=tags,
            health_file=tmp_path / "health",
            queue_environments=tmp_path / "environments",
        )

        async def body() -> None:
            rig = Rig(Supervisor(settings, b"a key", FakeLink, adopts=adopts))
            running = asyncio.create_task(rig.supervisor.run())
            await asyncio.sleep(0)  # one turn: the slots are started
            rig.link.connect()
            try:
                await rig.until(lambda: rig.exchanges)
                await scenario(rig)
            finally:
                rig.supervisor.drain()
                rig.supervisor.drain()
                await asyncio.wait_for(running, DEADLINE_S)

        try:
            asyncio.run(body())
        finally:
            adopt(False)

    return run
