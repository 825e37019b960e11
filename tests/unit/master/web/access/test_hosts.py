"""Names and origins: a page of another site can't pass for one of ours."""

from __future__ import annotations

import pytest

from master.web.access.hosts import Hosts

HOSTS = Hosts({"queue.example.org"})


@pytest.mark.parametrize(
    "header",
    ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7",
     "Queue.Example.ORG", "queue.example.org.:443"],
)  # fmt: skip
def test_numbers_and_our_names_are_known(header: str) -> None:
    assert HOSTS.knows(header)


@pytest.mark.parametrize(
    "header",
    ["", "evil.example", "queue.example.org.evil.example", "127.0.0.1.evil.example", "[::1", "a b",
     "evil.example:8080", "localhost.evil.example", "1.2.3", "user@evil.example"],
)  # fmt: skip
def test_other_names_are_not(header: str) -> None:
    assert not HOSTS.knows(header)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://127.0.0.1:8080", ""),
        ("http://127.0.0.1:8080", "same-origin"),
        ("https://queue.example.org", ""),  # a proxy asks under another name
        ("", "same-origin"),
        ("", "none"),
    ],
)
def test_a_form_of_ours_may_come(origin: str, site: str) -> None:
    assert HOSTS.is_own("127.0.0.1:8080", origin, site)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("", ""),
        ("null", ""),
        ("null", "cross-site"),
        ("https://evil.example", ""),
        ("http://127.0.0.1:8081", ""),
        ("http://127.0.0.1:8081", "same-site"),
        ("http://127.0.0.1:8080", "cross-site"),
        ("http://127.0.0.1:8080.evil.example", ""),
        ("http://[::1", ""),
    ],
)
def test_a_form_of_another_site_may_not(origin: str, site: str) -> None:
    assert not HOSTS.is_own("127.0.0.1:8080", origin, site)
