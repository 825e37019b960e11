"""`server=mx`: which servers a domain has, as a name server of the tests says over the network."""

from __future__ import annotations

from collections.abc import Iterator

import dns.resolver
import pytest

from jobs.mailing.addresses import mailbox
from jobs.mailing.campaign import Campaign
from jobs.mailing.send import servers
from jobs.mailing.send.errors import NotSent, Refused
from jobs.mailing.send.servers import Server, servers_for
from tests.name_server import NameServer

CAMPAIGN = Campaign("/nowhere", servers=["mx"])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A name server that the worker asks, and nothing that it has said before."""
    with NameServer({}) as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        monkeypatch.setattr(servers, "_known", {})
        yield server


def found(domain: str = "a.example") -> list[Server]:
    return servers_for(CAMPAIGN, mailbox(f"ann@{domain}"))


def test_the_servers_of_a_domain_are_asked_by_their_preference(names: NameServer) -> None:
    names.zone["a.example"] = {"MX": ["100 Last.example.", "9 first.example.", "20 then.example."]}
    hosts = ("first.example", "then.example", "last.example")
    assert found() == [Server(host, 25) for host in hosts]


def test_servers_of_one_preference_share_the_mail(names: NameServer) -> None:
    both = {Server("a.mx.example", 25), Server("b.mx.example", 25)}
    names.zone["a.example"] = {"MX": ["10 a.mx.example.", "10 b.mx.example.", "20 c.mx.example."]}
    firsts = set()
    for _ in range(60):
        servers._known.clear()
        first, second, third = found()
        assert {first, second} == both
        assert third == Server("c.mx.example", 25)
        firsts.add(first)
    assert firsts == both


def test_a_domain_outside_ascii_is_asked_for_as_idna(names: NameServer) -> None:
    names.zone["xn--mller-kva.example"] = {"MX": ["10 mx.example."]}
    assert found("müller.example") == [Server("mx.example", 25)]


def test_a_domain_without_mx_is_its_own_server(names: NameServer) -> None:
    names.zone["a.example"] = {"A": ["127.0.0.1"]}
    assert found() == [Server("a.example", 25)]


def test_a_null_mx_takes_no_mail_for_good_and_its_address_stays_off_the_list(
    names: NameServer,
) -> None:
    names.zone["a.example"] = {"MX": ["0 ."]}
    with pytest.raises(Refused, match=r"a\.example takes no mail") as refused:
        found()
    assert refused.value.for_good
    assert not refused.value.hard


def test_a_domain_that_is_none_is_refused_for_good(names: NameServer) -> None:
    with pytest.raises(Refused, match=r"there is no domain a\.example") as refused:
        found()
    assert refused.value.for_good
    assert not refused.value.hard


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED"])
def test_a_name_server_that_fails_is_asked_again_later(names: NameServer, code: str) -> None:
    names.zone["a.example"] = code
    with pytest.raises(NotSent, match=r"mail servers of a\.example can't be looked up"):
        found()
    names.zone["a.example"] = {"MX": ["10 mx.example."]}
    assert found() == [Server("mx.example", 25)]


def test_what_was_found_is_asked_for_once_in_five_minutes(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.zone["a.example"] = {"MX": ["10 mx.example."]}
    assert found() == found()
    assert names.asked["a.example", "MX"] == 1
    until, known = servers._known["a.example"]
    monkeypatch.setitem(servers._known, "a.example", (until - 301.0, known))
    names.zone["a.example"] = {"MX": ["10 other.example."]}
    assert found() == [Server("other.example", 25)]
