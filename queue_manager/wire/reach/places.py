"""The places behind the names of hosts. A name server that does not answer holds nobody up.

This module owns the look-ups that are under way in this process. It opens no connection.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ...addresses import Address, shown

MOST_PLACES = 32
"""The most addresses of one name that are tried."""


@dataclass(frozen=True)
class Place:
    """One address in numbers to connect to.

    address: as it was given. label: for people; it says which one of several it is.
    """

    address: Address
    label: str
    family: int
    sockaddr: Any


def places_of(address: Address) -> list[Place]:
    """All places of an address, in the system's order. It may wait for a name server.

    Raises OSError or UnicodeError if the name is not known.
    """
    host, port = address
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    where = list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))
    label = shown([address])
    return [
        Place(address, label if len(where) == 1 else f"{label} ({sockaddr[0]})", family, sockaddr)
        for family, sockaddr in where[:MOST_PLACES]
    ]


def lookup(address: Address) -> Future[list[Place]]:
    """The same beside the caller, in a thread. An address in numbers is looked up at once.

    At most one thread looks for an address, however often it is asked for.
    """
    if is_in_numbers(address[0]):
        done: Future[list[Place]] = Future()
        _resolve(address, done)
        return done
    with _lock:
        running = _running.get(address)
        if running is None:
            running = _running[address] = Future()
            try:
                threading.Thread(
                    target=_resolve, args=(address, running), name="quartermaster-name", daemon=True
                ).start()
            except RuntimeError:  # the program ends, or has too many threads
                _resolve(address, running)
        return running


_running: dict[Address, Future[list[Place]]] = {}
_lock = threading.RLock()


def _resolve(address: Address, found: Future[list[Place]]) -> None:
    places: list[Place] = []
    trouble: Exception | None = None
    try:
        places = places_of(address)
    except (OSError, UnicodeError) as error:  # the resolver raises UnicodeError for a strange name
        trouble = error
    with _lock:
        _running.pop(address, None)
    if trouble is None:
        found.set_result(places)
    else:
        found.set_exception(trouble)


def is_in_numbers(host: str) -> bool:
    """Whether a host is an address already, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _forked() -> None:
    """The child of a fork has no thread of its parent's."""
    global _lock
    _lock = threading.RLock()
    _running.clear()


os.register_at_fork(after_in_child=_forked)
