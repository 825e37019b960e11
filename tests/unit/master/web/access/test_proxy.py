"""Behind a proxy: the last word is the proxy's, and only an address is one."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from master.web.access.proxy import Proxied
from tests.unit.master.web.loops import in_loop


async def seen(*headers: tuple[str, str]) -> tuple[str, str]:
    """The scheme and the address that a request has behind `Proxied`."""
    found: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    scope: Any = {
        "type": "http", "scheme": "http", "client": ("172.17.0.2", 1),
        "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers],
    }  # fmt: skip
    await Proxied(inner)(scope, None, None)  # type: ignore[arg-type]
    return found[0]["scheme"], found[0]["client"][0]


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1 with the token `read`, asked by nobody, 192.0.2.7:80", "192.0.2.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.7, nobody", "172.17.0.2"),
        ("fe80::1%eth0 with the token `read`", "172.17.0.2"),
        ("192.0.2.7,", "172.17.0.2"),
        ("", "172.17.0.2"),
    ],
)
@in_loop
async def test_the_address_is_the_last_one_if_it_is_one(said: str, address: str) -> None:
    assert await seen(("x-forwarded-for", said)) == ("http", address)


@in_loop
async def test_of_two_headers_the_last_one_counts() -> None:
    headers = ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "192.0.2.7")
    assert (await seen(*headers))[1] == "192.0.2.7"
    schemes = ("x-forwarded-proto", "https, http"), ("x-forwarded-proto", "http, HTTPS")
    assert (await seen(*schemes))[0] == "https"
    assert (await seen(("x-forwarded-proto", "javascript")))[0] == "http"
    assert await seen() == ("http", "172.17.0.2")
