"""Which of several masters a client gets to, how soon, and what it says when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from queue_manager.errors import (
    ConnectionLostError,
    ProtocolError,
    StandbyError,
    WrongKeyError,
)
from queue_manager.server.server import LoopServer
from queue_manager.wire.reach import places as places_module
from queue_manager.wire.reach import race as race_module
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.reach.places import lookup
from tests.doors import Door, Role

KEY = b"a key"
MakeDoor = Callable[..., Door]
SOON_S = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[LoopServer]:
    """An active master, as far as its handshake goes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = LoopServer({}, ("127.0.0.1", 0), KEY, "pickle", mode="off")
    loop.call_soon_threadsafe(made.start)
    yield made
    loop.call_soon_threadsafe(made.stop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def door(server: LoopServer) -> Iterator[MakeDoor]:
    made: list[Door] = []

    def make(role: Role, host: str = "127.0.0.1") -> Door:
        made.append(Door(server.address[1], role, host))
        return made[-1]

    yield make
    for one in made:
        one.end()


def of(*doors: Door) -> Masters:
    return Masters([("127.0.0.1", one.port) for one in doors])


def port_of(masters: Masters, key: bytes = KEY) -> int:
    """The port of the master that is reached. It is noted, as by a session."""
    opened = masters.open(key, "off")
    port: int = opened.sock.getpeername()[1]
    masters.reached(opened.place)
    opened.close()
    return port


@pytest.mark.parametrize("role", ["standby", "frozen", "dropping", "gone"])
def test_the_active_master_is_reached_soon_past_one_that_is_not(role: Role, door: MakeDoor) -> None:
    other, active = door(role), door("open")
    for masters in (of(other, active), of(active, other)):
        began = time.monotonic()
        assert port_of(masters) == active.port
        assert time.monotonic() - began < SOON_S


def test_many_that_drop_packets_cost_a_quarter_of_a_second_each(
    door: MakeDoor,
) -> None:
    doors = [door("dropping"), door("frozen"), door("dropping"), door("open")]
    began = time.monotonic()
    assert port_of(of(*doors)) == doors[-1].port
    assert 3 * race_module.STAGGER_S <= time.monotonic() - began < 2 * SOON_S


def test_the_last_good_master_is_tried_first(door: MakeDoor) -> None:
    first, second = door("standby"), door("open")
    masters = of(first, second)
    assert port_of(masters) == second.port
    told = first.told
    assert port_of(masters) == second.port
    assert first.told == told
    second.becomes("gone")
    first.becomes("open")
    assert port_of(masters) == first.port


def test_a_standby_that_becomes_the_master_is_found_while_a_frozen_one_is_waited_for(
    door: MakeDoor,
) -> None:
    frozen, standby = door("frozen"), door("standby")
    threading.Timer(0.5, standby.becomes, ["open"]).start()
    began = time.monotonic()
    assert port_of(of(frozen, standby)) == standby.port
    assert time.monotonic() - began < 0.5 + SOON_S


def test_a_slow_master_is_waited_for_though_another_one_stands_by(
    door: MakeDoor,
) -> None:
    """Its connection is kept. A new one each time would never be greeted."""
    slow, standby = door("frozen"), door("standby")
    threading.Timer(1.5, slow.becomes, ["open"]).start()
    masters = of(slow, standby)
    assert port_of(masters) == slow.port
    assert slow.came == 1
    assert standby.told > 2


def test_all_that_stand_by_or_are_away_are_told_in_one_line(door: MakeDoor) -> None:
    standby, gone = door("standby"), door("gone")
    masters = of(standby, gone)
    with pytest.raises(StandbyError) as caught:
        masters.open(KEY)
    assert str(caught.value) == (
        f"127.0.0.1:{standby.port}: this master stands by; ask the active one;"
        f" 127.0.0.1:{gone.port}: [Errno 111] Connection refused"
    )
    assert masters.why() == str(caught.value)
    with pytest.raises(ConnectionRefusedError):
        of(gone).open(KEY)
    with pytest.raises(ConnectionLostError, match="; "):
        of(gone, door("gone")).open(KEY)


def test_a_wrong_key_is_told_clearly_whatever_the_others_say(door: MakeDoor) -> None:
    active, standby, gone = door("open"), door("standby"), door("gone")
    for masters in (of(active), of(standby, active), of(active, gone), of(gone, active, standby)):
        with pytest.raises(WrongKeyError, match=f"wrong authkey for 127.0.0.1:{active.port}"):
            masters.open(b"another", "off")


def test_a_master_with_another_key_is_passed_over(door: MakeDoor, server: LoopServer) -> None:
    """And who is no master of ours."""
    active = door("open")
    other = LoopServer({}, ("127.0.0.1", 0), b"another", "pickle", mode="off")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    loop.call_soon_threadsafe(other.start)
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def talk() -> None:
            with stranger.accept()[0] as sock:
                sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                with contextlib.suppress(ConnectionResetError):
                    sock.recv(1)

        talking = threading.Thread(target=talk)
        talking.start()
        masters = Masters([stranger.getsockname(), other.address, ("127.0.0.1", active.port)])
        assert port_of(masters) == active.port
        talking.join()
    with pytest.raises(WrongKeyError, match=f"wrong authkey for 127.0.0.1:{other.address[1]}"):
        Masters([other.address, ("127.0.0.1", 1)]).open(KEY, "off")
    loop.call_soon_threadsafe(other.stop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_master_that_does_not_encrypt_as_it_should_is_passed_over_by_the_next_look(
    door: MakeDoor,
) -> None:
    one, two = door("open"), door("open")
    masters = of(one, two)
    first = masters.open(KEY, "off")
    first.close()
    assert masters.useless(first.place, WrongKeyError("its TLS fails"))
    second = masters.open(KEY, "off")
    second.close()
    assert second.place != first.place
    assert masters.useless(second.place, ProtocolError("nor does this one's"))
    with pytest.raises(WrongKeyError, match=r"its TLS fails; .*nor does this one's"):
        masters.open(KEY, "off")
    masters.open(KEY, "off").close()  # a later look begins anew
    alone = of(one)
    opened = alone.open(KEY, "off")
    opened.close()
    assert not alone.useless(opened.place, WrongKeyError("its TLS fails"))


def test_a_look_finds_who_greets_and_nobody_else(door: MakeDoor) -> None:
    active, standby, frozen = door("open"), door("standby"), door("frozen")
    masters = of(frozen, standby, active)
    found = masters.look()
    assert found is not None
    assert found.sockaddr[1] == active.port
    began = time.monotonic()
    assert masters.look(but=found, limit_s=0.3) is None
    assert time.monotonic() - began < SOON_S
    assert of(standby, door("gone")).look() is None


def resolving(monkeypatch: pytest.MonkeyPatch, **names: Any) -> list[str]:
    """Have these names known. An event holds the name server up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host not in names:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = names[host]
        if isinstance(found, threading.Event):
            found.wait(60.0)
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in found]

    monkeypatch.setattr(places_module.socket, "getaddrinfo", getaddrinfo)
    return asked


def test_all_addresses_of_one_name_are_tried(
    monkeypatch: pytest.MonkeyPatch, door: MakeDoor
) -> None:
    standby, active, gone = (
        door("standby"),
        door("open", host="127.0.0.2"),
        door("gone", host="127.0.0.3"),
    )
    where = [
        ("127.0.0.1", standby.port),
        ("127.0.0.3", gone.port),
        ("127.0.0.2", active.port),
    ]
    resolving(monkeypatch, masters=where)
    masters = Masters([("masters", 5000)])
    assert port_of(masters) == active.port
    assert masters.several
    assert masters.may_grow
    assert not of(active).may_grow
    active.becomes("standby")
    with pytest.raises(StandbyError, match=r"masters:5000 \(127\.0\.0\.1\): this master stands"):
        masters.open(KEY)


def test_a_name_that_gets_a_second_address_leads_to_several(
    monkeypatch: pytest.MonkeyPatch, door: MakeDoor
) -> None:
    active = door("open")
    where = [("127.0.0.1", active.port)]
    resolving(monkeypatch, masters=where)
    masters = Masters([("masters", 5000)])
    assert port_of(masters) == active.port
    masters.refresh()
    assert not masters.several
    where.append(("127.0.0.2", active.port))
    masters.refresh()
    assert masters.several
    where.clear()  # a name that has no address for a while
    masters.refresh()
    assert masters.several


def test_a_name_server_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, door: MakeDoor
) -> None:
    silent = threading.Event()
    asked = resolving(monkeypatch, silent=silent)
    active = door("open")
    masters = Masters([("silent", 5000), ("127.0.0.1", active.port)])
    began = time.monotonic()
    for _ in range(3):
        assert port_of(masters) == active.port
    assert time.monotonic() - began < SOON_S
    assert asked == ["silent"]  # one thread waits, however often one looks
    monkeypatch.setattr("queue_manager.wire.reach.masters.LIMIT_S", 0.2)
    active.becomes("standby")
    with pytest.raises(StandbyError, match="silent:5000: its name server does not answer"):
        masters.open(KEY)
    silent.set()
    with pytest.raises(socket.gaierror):
        lookup(("silent", 5000)).result(60.0)


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = threading.Event()
    known.set()
    resolving(monkeypatch, unknown=known)
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        Masters([("unknown", 5000)]).open(KEY)
    with pytest.raises(UnicodeError):
        Masters([("x" * 70, 5000)]).open(KEY)


def test_a_look_leaves_nothing_open(door: MakeDoor) -> None:
    doors = [door("frozen"), door("standby"), door("dropping"), door("open")]
    port_of(of(*doors))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        masters = of(*doors[:3])
        assert masters.look(limit_s=0.05) is None
    assert len(os.listdir("/proc/self/fd")) <= before
