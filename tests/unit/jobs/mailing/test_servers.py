"""Which servers take a message, and which of them get the worker's login."""

from __future__ import annotations

import smtplib
import socket
import ssl
from pathlib import Path

import dns.resolver
import pytest

from jobs.mailing.send import connection, servers
from jobs.mailing.send.errors import Refused
from jobs.mailing.send.servers import Login, Server, login_for

MINE = Login("me", "secret")


def test_the_login_of_the_worker_is_for_its_own_servers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"SERVER": "a.example, B.example:465", "USER": "me"}.items():
        monkeypatch.setenv(f"MAIL_{name}", value)
    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    monkeypatch.delenv("MAIL_PASSWORD_FILE", raising=False)
    monkeypatch.delenv("MAIL_NETRC", raising=False)
    assert login_for(Server("a.example", 587)) == MINE
    assert login_for(Server("b.example", 465)) == MINE
    assert login_for(Server("evil.example", 587)) is None
    monkeypatch.setenv("MAIL_SERVER", "mx")
    assert login_for(Server("mx.a.example", 25)) is None
    assert login_for(Server("mx", 25)) is None


def test_a_file_of_logins_is_for_the_hosts_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text(
        "machine a.example login me password secret\ndefault login x password y\n"
    )
    monkeypatch.setenv("MAIL_NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("MAIL_USER", raising=False)
    assert login_for(Server("A.example", 587)) == MINE
    assert login_for(Server("evil.example", 587)) is None
    assert login_for(Server("default", 587)) is None


@pytest.mark.parametrize("tls", ["off", "opportunistic"])
def test_no_login_goes_to_a_server_that_is_not_verified(
    monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(smtplib.SMTP, "login", lambda _, user, __: tried.append(user))
    with smtplib.SMTP() as smtp, socket.socket() as plain:
        smtp.sock = plain
        if tls == "opportunistic":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            smtp.sock = context.wrap_socket(plain)
        with pytest.raises(smtplib.SMTPNotSupportedError, match="only sent with tls=verified"):
            connection._log_in(smtp, MINE)
        smtp.sock = None
    assert tried == []


def test_an_address_that_our_own_resolver_does_not_know_is_not_suppressed_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise dns.resolver.NXDOMAIN

    monkeypatch.setattr(dns.resolver, "resolve", resolve)
    with pytest.raises(Refused, match="there is no domain") as refused:
        servers._servers_of_domain("a.example")
    assert refused.value.for_good
    assert not refused.value.hard
