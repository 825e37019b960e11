"""Which texts are addresses of masters."""

from __future__ import annotations

import pytest

from queue_manager.addresses import parse, shown


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("master", [("master", 7)]),
        ("a,b:5001,[::1]:5000", [("a", 7), ("b", 5001), ("::1", 5000)]),
        (" a , b:1 ", [("a", 7), ("b", 1)]),
        ("10.0.0.1:65535", [("10.0.0.1", 65535)]),
        ("::1", [("::1", 7)]),
        ("[fe80::1%eth0]", [("fe80::1%eth0", 7)]),
        ("2001:db8::5", [("2001:db8::5", 7)]),
        ("a,a:7,a", [("a", 7)]),
        ("tasks.master_1-x", [("tasks.master_1-x", 7)]),
    ],
)
def test_hosts_and_ports_are_read(text: str, addresses: list[tuple[str, int]]) -> None:
    assert list(parse(text, 7)) == addresses
    assert parse(shown(addresses).replace(" ", ""), 1) == tuple(addresses)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "a,", "a,,b", "a b", ":5000", "a:", "a:0", "a:65536", "a:x", "a:-1", "a:5 0"),
        *("[::1", "::1]", "[a]:1", "[::1]5", "[::1]:", "1:2:3", "http://a:5000", "a/b", "u@a"),
        *("a:\uff15", "a:000005000", ",".join(f"h{n}" for n in range(17))),
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text, 7)
