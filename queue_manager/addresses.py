"""Addresses of masters as people write them: HOST or HOST:PORT, with commas between several.

This module knows no sockets, and asks no name server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Address = tuple[str, int]
"""A host, as a name or in numbers, and a port."""

MOST_ADDRESSES = 16

_NAME = re.compile(r"[^\s:,/@\[\]]+")
_IN_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


def parse(text: str, port: int) -> tuple[Address, ...]:
    """The addresses in a text such as `a,b:5001,[::1]:5000`, each of them once.

    An IPv6 address with a port is in brackets. port: that of an address without one.

    Raises ValueError, with the part of the text that is no address.
    """
    found = tuple(dict.fromkeys(_one(part.strip(), port) for part in text.split(",")))
    if len(found) > MOST_ADDRESSES:
        raise ValueError(text)
    return found


def _one(part: str, port: int) -> Address:
    bracketed = _IN_BRACKETS.fullmatch(part)
    if bracketed:
        host, given = bracketed.groups()
    elif part.count(":") > 1:
        host, given = part, None
    else:
        host, colon, after = part.partition(":")
        given = after if colon else None
    is_host = _is_ipv6(host) if bracketed or ":" in host else bool(_NAME.fullmatch(host))
    number = port if given is None else _port(given)
    if not is_host or number is None:
        raise ValueError(part)
    return host, number


def _port(text: str) -> int | None:
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 2**16:
        return int(text)
    return None


def _is_ipv6(host: str) -> bool:
    import ipaddress  # late: it takes some milliseconds, and most hosts are names

    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def shown(addresses: Iterable[Address]) -> str:
    """Addresses for people, as `parse` reads them."""
    return ", ".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses
    )
