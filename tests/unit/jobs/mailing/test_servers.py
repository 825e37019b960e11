"""Which servers take a message, and which of them get the worker's login."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
from pathlib import Path

import dns.resolver
import pytest

from jobs.mailing.send import connection, servers
from jobs.mailing.send.errors import Refused, Unusable, WrongSetup
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


@pytest.mark.parametrize(
    "name",
    ["mail..example.org", "x" * 64 + ".org", "a." * 130 + "org", ".example.org", "a\0b", "."],
)
def test_a_name_that_can_not_be_looked_up_is_no_server(name: str) -> None:
    with pytest.raises(ValueError, match="is no mail server: write HOST or HOST:PORT"):
        servers.server_of(name)


@pytest.mark.parametrize("name", ["mail_server", "mail.example.org.", "[::1]", "b\xfccher.example"])
def test_other_names_are_servers(name: str) -> None:
    assert servers.server_of(f"{name}:25") == Server(name.strip("[]"), 25)


def test_a_name_that_mx_records_have_makes_no_internal_error() -> None:
    with pytest.raises(Unusable, match=r"mail\.\.example\.org:25 can't be used: "):
        connection.Connection(Server("mail..example.org", 25), "off", None)


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
        with pytest.raises(WrongSetup, match="only sent with tls=verified"):
            connection._log_in(Server("a.example", 587), smtp, MINE)
        smtp.sock = None
    assert tried == []


def refusal_of_login(monkeypatch: pytest.MonkeyPatch, way: str, answer: str, login: Login) -> str:
    """What is said of a login that a verified server refuses; `{}` is the command that it got."""

    def docmd(_: smtplib.SMTP, command: str, args: str = "") -> tuple[int, bytes]:
        code, _, words = answer.format(f"{command} {args}").partition(" ")
        return int(code), words.encode()

    monkeypatch.setattr(smtplib.SMTP, "docmd", docmd)
    monkeypatch.setattr(smtplib.SMTP, "ehlo_or_helo_if_needed", lambda _: None)
    smtp = smtplib.SMTP()
    with socket.socket() as plain:
        smtp.does_esmtp, smtp.esmtp_features = True, {"auth": way}
        smtp.sock = ssl.create_default_context().wrap_socket(plain, server_hostname="a.example")
        with pytest.raises(Unusable) as error:
            connection._log_in(Server("a.example", 587), smtp, login)
    return str(error.value)


@pytest.mark.parametrize("way", ["PLAIN", "LOGIN", "CRAM-MD5", "PLAIN LOGIN"])
def test_a_server_that_repeats_the_login_makes_nobody_show_it(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    said = refusal_of_login(monkeypatch, way, "500 5.5.1 unrecognized command: {}", MINE)
    assert said == "a.example:587 refuses the worker's login: 500 5.5.1"
    # LOGIN and CRAM-MD5 are asked again and again, with the last command in the question.
    asked = base64.b64encode(b"what?").decode()
    assert "secret" not in refusal_of_login(monkeypatch, way, f"334 {asked}", MINE)
    assert base64.b64encode(b"secret").decode() not in said


@pytest.mark.parametrize(
    ("way", "answer", "login"),
    [
        ("PLAIN", "535 no", Login("me", "s\xe9cret")),
        ("LOGIN", "334 =", MINE),
        ("CRAM-MD5", "334 {}", MINE),
        ("NTLM", "535 no", MINE),
    ],
)
def test_a_login_that_can_not_be_sent_makes_the_server_unusable(
    monkeypatch: pytest.MonkeyPatch, way: str, answer: str, login: Login
) -> None:
    said = refusal_of_login(monkeypatch, way, answer, login)
    assert said == "a.example:587 knows no way to take the worker's login"


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
