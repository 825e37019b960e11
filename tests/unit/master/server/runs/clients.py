"""Sessions of clients, and what they were answered."""

from __future__ import annotations

from master.server.dispatch import OurSession
from queue_manager.wire.messages import Hello
from queue_manager.wire.records import RunOptions
from tests.unit.master.conftest import FakePeer

CLIENT = RunOptions(feeder="client")


def a_client(pid: int = 1, program: str = "") -> FakePeer:
    session = OurSession(Hello("client", "host", pid, program=program), 0.0, "a")
    return FakePeer(f"client host/{pid}", session=session)


def answer(peer: FakePeer) -> object:
    return peer.sent[-1]
