"""Which addresses of the network a crawl may reach. A page must not send it into the user's own.

The guard checks the addresses that a name resolves to, and the crawl connects to these addresses
only. It checks again what a name resolves to a moment later, and where a redirect leads.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
"""IETF protocol assignments (RFC 6890), of which older Pythons know a part only."""


_MORE = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure: what a virtual machine asks about itself, and for secrets
            "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
            "3fff::/20",  # documentation (RFC 9637)
            "5f00::/16",  # segment routing (RFC 9602)
        ),
    )
)
"""Networks that are not public and that Python's tables, or those of older Pythons, lack."""

_ISATAP = 0x5EFE
"""RFC 5214: bits 32 to 47 of an address whose last 32 bits are an IPv4 address of one's own."""


class ForbiddenAddressError(OSError):
    """An address that must not be reached."""


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet (IANA's special-purpose registries)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and int(address) >> 32 & 0xFFFF == _ISATAP:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
        # Reserved is what was never given out, such as ::127.0.0.1, and private NAT64.
        if inner is None and (address.is_site_local or address.is_reserved):
            return False
    elif address in _PROTOCOLS:
        return False
    if any(address.version == network.version and address in network for network in _MORE):
        return False
    return address.is_global and not address.is_multicast


def check_host(host: str) -> None:
    """Raise ForbiddenAddressError for a host that is written as a forbidden IP address.

    Such a host is connected to without any look-up.
    """
    text = host.strip("[]")
    try:
        public = is_public(text)
    except ValueError:
        return  # a name
    if not public:
        raise ForbiddenAddressError(f"{host} is an address of a private network (private=1 allows)")


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, with the system's resolver."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [one for one in found if is_public(one["host"])]
        if found and not public:
            raise ForbiddenAddressError(
                f"{host} is at {found[0]['host']}, in a private network (private=1 allows)"
            )
        return public

    async def close(self) -> None:
        await self._resolver.close()


def forbidden(error: BaseException) -> ForbiddenAddressError | None:
    """The ForbiddenAddressError behind an error of the client, if there is one."""
    seen: Any = error
    while seen is not None:
        if isinstance(seen, ForbiddenAddressError):
            return seen
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return None
