"""Which code of clients is taken, and that a disk without room keeps nothing of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from master.jobs.uploads import Uploads
from queue_manager.errors import QueueError, RefusedError, StoreError
from queue_manager.job.files import version_of
from queue_manager.settings import load_settings
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunOptions
from queue_manager.wire.tls import carries_code
from tests.asked import code_of
from tests.unit.master.conftest import FakePeer

CODE = {"f.py": b"def work(n): return n"}
ELSEWHERE = {"QUEUE_BIND": "0.0.0.0"}


class Carrying(FakePeer):
    carries_code = True


def check(environ: dict[str, str], carries: bool = True, **asked: Any) -> tuple[str, RunOptions]:
    peer = Carrying()
    peer.carries_code = carries
    fields = {"feeder": "client", "code": CODE, **asked}
    return Uploads(load_settings(environ)).check(peer.peer, StartRun(1, "f", [], **fields))


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "127.0.0.1:"},
        ELSEWHERE | {"QUEUE_UPLOADS": "1"},
        {"QUEUE_UPLOADS": "auto"},
    ],
)
def test_code_is_taken_where_only_this_machine_or_compose_reaches_the_queue(
    environ: dict[str, str],
) -> None:
    version, options = check(environ)
    assert version == version_of(CODE)
    assert (options.feeder, options.finish) == ("client", False)


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (ELSEWHERE, r"other machines reach it \(QUEUE_BIND=0.0.0.0\): set QUEUE_UPLOADS=1 for it"),
        ({"QUEUE_PUBLISH": "0.0.0.0:5000"}, r"\(QUEUE_PUBLISH=0.0.0.0:5000\): set QUEUE_UPLOADS=1"),
        ({"QUEUE_UPLOADS": "0"}, "it has QUEUE_UPLOADS=0"),
    ],
)
def test_elsewhere_one_line_names_the_setting(environ: dict[str, str], line: str) -> None:
    with pytest.raises(RefusedError, match=line):
        check(environ)


def test_code_in_clear_from_another_machine_is_not_taken() -> None:
    with pytest.raises(RefusedError, match="over encrypted connections or within one machine only"):
        check(ELSEWHERE | {"QUEUE_UPLOADS": "1"}, carries=False)


def test_code_in_clear_is_taken_where_no_other_machine_reaches_the_master() -> None:
    """The compose file's port on loopback is relayed: in its container, no address is loopback."""
    check({"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "127.0.0.1:"}, carries=False)


def test_no_function_of_it_is_called_on_the_master() -> None:
    with pytest.raises(RefusedError, match="its client gives the tasks"):
        check({}, feeder="runner")
    _, options = check({}, feeder="clients", options=RunOptions(9, finish=True, needs=["a"]))
    assert (options.attempts, options.finish, options.needs) == (9, False, ["a"])
    _, options = check({}, needs=["b"], lasting=False, options=RunOptions(needs=["a"]))
    assert (options.needs, options.also_needs, options.lasting) == (["a", "b"], ["b"], False)
    with pytest.raises(QueueError, match="no file of jobs"):
        check({}, code=CODE | {"../g.py": b""})


def test_the_master_alone_says_that_a_run_has_results_of_other_code() -> None:
    _, options = check({}, options=RunOptions(mixed=True, fingerprint="x"), fingerprint="y")
    assert (options.mixed, options.fingerprint) == (False, "y")


class Transport:
    def __init__(self, *ends: Any) -> None:
        self._ends = dict(zip(("sockname", "peername"), ends, strict=True))

    def get_extra_info(self, name: str) -> Any:
        return self._ends[name]


@pytest.mark.parametrize(
    ("here", "there", "carries"),
    [
        (("127.0.0.1", 1), ("127.0.0.1", 2), True),
        (("::1", 1, 0, 0), ("::1", 2, 0, 0), True),
        (("127.0.0.1", 1), ("10.0.0.7", 2), False),
        (("172.18.0.2", 1), ("127.0.0.1", 2), False),
        (("172.18.0.2", 1), ("172.18.0.1", 2), False),
        (None, ("127.0.0.1", 2), False),
    ],
)
def test_in_clear_both_ends_are_loopback(here: Any, there: Any, carries: bool) -> None:
    transport: Any = Transport(here, there)
    assert carries_code(False, transport) is carries
    assert carries_code(True, transport)
    assert not carries_code(False, None)


def test_a_full_disk_refuses_the_run_and_keeps_nothing_of_it(play: Any) -> None:
    async def scene(world: Any) -> None:
        ask = StartRun(1, "f", [], "k", "client", code=CODE)
        options, version = RunOptions(feeder="client"), version_of(CODE)
        world.store.full = True
        with pytest.raises((StoreError, RefusedError), match="disk is full"):
            await asyncio.wait_for(world.runs.start(ask, options, version), 30.0)
        world.store.full = False
        await world.later(5.0)
        assert code_of(world.store, version) == {}
        run, is_new = await world.runs.start(ask, options, version)
        assert (is_new, run.uploaded, run.code) == (True, True, version)
        assert code_of(world.store, version) == {version: CODE}

    play(scene)
