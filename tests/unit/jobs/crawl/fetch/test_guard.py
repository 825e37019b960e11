"""Which addresses of the network a crawl may reach."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from jobs.crawl.address import host_of, normalized
from jobs.crawl.fetch.client import Client
from jobs.crawl.fetch.guard import (
    ForbiddenAddressError,
    PublicResolver,
    check_host,
    forbidden,
    is_public,
)

PRIVATE = [
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.88.99.1",
    "::ffff:168.63.129.16",
    "64:ff9b::a83f:8110",
    "2002:a83f:8110::1",
    "2600::5efe:10.0.0.1",
    "2600::200:5efe:a83f:8110",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:c0a8:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["8.8.8.8", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "64:ff9b::808:808"]


class Fixed(AbstractResolver):
    """Says the same of every name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        return [
            {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0}
            for one in self._addresses
        ]

    async def close(self) -> None: ...


def resolver(*addresses: str) -> PublicResolver:
    made = PublicResolver.__new__(PublicResolver)
    made._resolver = Fixed(*addresses)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(ForbiddenAddressError, match=r"private network \(private=1 allows\)"):
        check_host(f"[{address}]" if ":" in address else address)


@pytest.mark.parametrize("address", PUBLIC)
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(address)
    check_host(f"[{address}]" if ":" in address else address)


def test_names_are_not_judged_before_they_are_resolved() -> None:
    check_host("localhost")


@pytest.mark.parametrize(
    "address",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://0/",
        "http://１２７.0.0.1/",  # noqa: RUF001
        "http://127.0.0.1./",
        "http://[::ffff:7f00:1]/",
        "http://[::FFFF:127.0.0.1]/",
        "http://ann:b@127.0.0.1/",
    ],
)
def test_every_way_to_write_a_private_address_is_refused(address: str) -> None:
    form = normalized(address)
    assert form is not None
    with pytest.raises(ForbiddenAddressError):
        check_host(host_of(form))

    async def ask() -> None:
        client = Client(user_agent="test", private=False)
        try:
            await client.get(form, 1)
        finally:
            await client.close()

    with pytest.raises(ForbiddenAddressError, match="is an address of a private network"):
        asyncio.run(ask())


@pytest.mark.parametrize("address", [one for one in PRIVATE if "%" not in one])
def test_a_name_with_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"^inside\.test is at "):
        asyncio.run(resolver(address).resolve("inside.test"))


def test_of_a_name_with_several_addresses_the_public_ones_are_left() -> None:
    found = asyncio.run(resolver("10.0.0.1", "8.8.8.8", "::1").resolve("mixed.test"))
    assert [one["host"] for one in found] == ["8.8.8.8"]


def test_the_refusal_is_found_behind_the_errors_of_the_client() -> None:
    async def ask() -> BaseException:
        connector = aiohttp.TCPConnector(resolver=resolver("127.0.0.1"))
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                await session.get("http://inside.test/")
            except aiohttp.ClientError as error:
                return error
        raise AssertionError("it was fetched")

    found = forbidden(asyncio.run(ask()))
    assert str(found) == "inside.test is at 127.0.0.1, in a private network (private=1 allows)"
    assert forbidden(ValueError("something else")) is None
