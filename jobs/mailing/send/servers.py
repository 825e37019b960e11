"""Which servers take a message, and the login for each. Logins come from the worker alone.

MAIL_SERVER, MAIL_FROM, MAIL_USER, MAIL_PASSWORD, MAIL_PASSWORD_FILE and MAIL_NETRC are variables of
the worker's environment. No payload, argument or log has a password.
"""

from __future__ import annotations

import contextlib
import netrc
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.resolver

from ..addresses import Mailbox
from ..campaign import Campaign
from .errors import NotSent, Refused, WrongSetup

MX = "mx"
TLS_PORT = 465
_RELAY_PORT, _SUBMISSION_PORT = 25, 587
_KEEP_S = 300.0
_MOST_NAME = 253


class Server(NamedTuple):
    """A mail server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Login(NamedTuple):
    """A user and a password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r}, ...)"


def server_of(text: str, port: int = _SUBMISSION_PORT) -> Server:
    """The server that `HOST` or `HOST:PORT` is; `[::1]:25` with an address of IPv6.

    Raises:
        ValueError: it is none.
    """
    host, colon, number = text.strip().rpartition(":")
    if not colon or text.strip().endswith("]"):
        host, number = text.strip(), str(port)
    host = host.strip("[]")
    wrong = not _is_host(host) or not number.isdecimal() or not 0 < int(number) < 65536
    if wrong:
        raise ValueError(f"{text!r} is no mail server: write HOST or HOST:PORT")
    return Server(host, int(number))


def _is_host(text: str) -> bool:
    """Whether a name can be looked up. A label that is empty or too long can't."""
    if not text.isprintable() or set(text) & set(" /@"):
        return False
    try:
        return 0 < len(text.encode("idna").removesuffix(b".")) <= _MOST_NAME
    except UnicodeError:
        return False


def servers_for(campaign: Campaign, to: Mailbox) -> list[Server]:
    """The servers for a recipient, the best first.

    Raises:
        NotSent: none is known now.
        Refused: the recipient's domain takes no mail.
        WrongSetup: a name is no server.
    """
    named = campaign.servers or _named_by_the_worker()
    if not named:
        raise NotSent("no mail server is named: set MAIL_SERVER for the workers, or give server=")
    if named == [MX]:
        return _servers_of_domain(to.ascii_domain)
    try:
        return [server_of(text) for text in named]
    except ValueError as error:
        raise WrongSetup(f"MAIL_SERVER of the worker: {error}") from None


def login_for(server: Server) -> Login | None:
    """The login for a server, if the worker has one that is meant for it.

    MAIL_NETRC has it for the hosts that it names; its `default` is for no server. MAIL_USER is for
    the servers of MAIL_SERVER alone: `server=` and MX records may name anybody's.

    Raises:
        NotSent: the secret file can't be read.
    """
    get = os.environ.get
    try:
        if path := get("MAIL_NETRC"):
            hosts = {host.lower(): found for host, found in netrc.netrc(path).hosts.items()}
            hosts.pop("default", None)
            if found := hosts.get(server.host.lower()):
                return Login(found[0], found[2])
        if (user := get("MAIL_USER")) and server.host.lower() in _hosts_of_the_worker():
            file = get("MAIL_PASSWORD_FILE")
            password = Path(file).read_text("utf-8").strip() if file else get("MAIL_PASSWORD", "")
            return Login(user, password)
    except OSError as error:
        raise NotSent(f"the file of the login can't be read: {error.strerror}") from None
    except netrc.NetrcParseError as error:
        raise NotSent(f"MAIL_NETRC, line {error.lineno}: no file of logins") from None
    return None


def _hosts_of_the_worker() -> set[str]:
    """The hosts that MAIL_SERVER names, in lower case."""
    hosts = set()
    for name in _named_by_the_worker():
        with contextlib.suppress(ValueError):
            hosts.add(server_of(name).host.lower())
    return hosts - {MX}


def _named_by_the_worker() -> list[str]:
    return os.environ.get("MAIL_SERVER", "").replace(",", " ").split()


_known: dict[str, tuple[float, list[Server]]] = {}


def _servers_of_domain(domain: str) -> list[Server]:
    """The servers of a domain by its MX records (RFC 5321, 5.1), looked up every five minutes."""
    now = time.monotonic()
    until, found = _known.get(domain, (0.0, []))
    if now < until:
        return found
    if len(_known) > 10_000:
        _known.clear()
    found = _look_up(domain)
    _known[domain] = (now + _KEEP_S, found)
    return found


def _look_up(domain: str) -> list[Server]:
    try:
        answer = dns.resolver.resolve(domain, "MX", lifetime=20.0)
    except dns.resolver.NXDOMAIN:
        # Not about the recipient: our own resolver may be wrong about a domain for some hours.
        raise Refused(550, f"5.1.2 there is no domain {domain}", to_recipient=False) from None
    except dns.resolver.NoAnswer:
        return [Server(domain, _RELAY_PORT)]
    except dns.exception.DNSException as error:
        raise NotSent(f"the mail servers of {domain} can't be looked up: {error}") from None
    # Servers of one preference share the mail, so each process has an order of its own.
    records = sorted(answer, key=lambda record: (record.preference, random.random()))
    names = [record.exchange.to_text(True).lower() for record in records]
    if names == ["."]:  # RFC 7505
        raise Refused(556, f"5.1.10 {domain} takes no mail", to_recipient=False)
    return [Server(name, _RELAY_PORT) for name in names if name != "."]
