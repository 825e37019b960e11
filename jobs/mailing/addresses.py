"""Mail addresses: checked, in one form, and as headers show them. Knows nothing of servers."""

from __future__ import annotations

import functools
import re
import unicodedata
from email.header import Header
from email.utils import parseaddr, quote
from typing import NamedTuple

import msgspec
from email_validator import (
    SPECIAL_USE_DOMAIN_NAMES,
    EmailNotValidError,
    ValidatedEmail,
    validate_email,
)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_ENCODED = "=?"
"""An encoded word begins so, also where it must not be read as one: inside of quotes, say."""

_MOST_NAME = 200
_MOST_WORD = 60
"""The most characters of a word in a header that is not encoded: a line has at most 78."""

_MOST_ADDRESS = 254
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
LOCAL = rf"{_ATOM}(?:\.{_ATOM})*"
"""The pattern of the part before the @, without quotes. Whoever compiles it says what `\\w` is."""

_PLAIN_LOCAL = re.compile(rf"(?=.{{1,64}}\Z){LOCAL}", re.A)
"""What needs no more checks: they take most of the time that an address of a long list takes."""

_END = "\r\n"

for _own in ("local", "test"):  # names that a network of one's own may have
    if _own in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_own)

# The lengths and the -- keep out what only the library can judge, as a name in Punycode.
_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?"
_NOT_SPECIAL = "".join(rf"(?<!\.{re.escape(name)})" for name in SPECIAL_USE_DOMAIN_NAMES)
PLAIN_DOMAIN = rf"{_LABEL}(?:\.{_LABEL}){{1,4}}{_NOT_SPECIAL}"
"""The pattern of domains, in lower case, that `domains` returns as they are: nearly all there are.
What follows in a pattern must begin with none of their characters."""


class Domains(NamedTuple):
    """A domain in lower case, as people read it and as IDNA has it."""

    shown: str
    in_ascii: str


class Mailbox(msgspec.Struct, frozen=True):
    """One address, checked.

    name: what is shown beside it, without control characters. local, domain: the parts around the
    @; the domain is lower case. ascii_domain: the domain as IDNA has it.
    """

    name: str
    local: str
    domain: str
    ascii_domain: str

    @property
    def key(self) -> str:
        """The address in its one form: the same for all ways to write it."""
        return f"{self.local.lower()}@{self.ascii_domain}"

    @property
    def envelope(self) -> str:
        """The address as servers get it. Outside ASCII is at most the part before the @."""
        return f"{self.local}@{self.ascii_domain}"

    @property
    def needs_utf8(self) -> bool:
        """Whether a server must know SMTPUTF8 to take it."""
        return not self.local.isascii()

    def header(self, field: str) -> str:
        """The address as the header of this name has it, folded."""
        address = f"<{self.envelope}>"
        if not self.name:
            return address
        if self.name.isascii() and _ENCODED not in self.name:
            return f'"{quote(self.name)}"\r\n {address}'
        return f"{header_text(field, self.name)}\r\n {address}"


def header_text(field: str, text: str) -> str:
    """A text in one line as the header of this name has it, folded, in ASCII (RFC 2047).

    EmailMessage would read a text that looks like an encoded word as one.
    """
    fits = max(map(len, text.split()), default=0) <= _MOST_WORD
    charset = "us-ascii" if text.isascii() and fits and _ENCODED not in text else "utf-8"
    return Header(text, charset, header_name=field).encode(linesep=_END)


def one_line(text: str) -> str:
    """A text without line ends and other control characters, so no header can begin in it."""
    text = text.encode("utf-8", "replace").decode()  # lone surrogates have no bytes
    return " ".join(_CONTROLS.sub(" ", text).split())


def mailbox(text: str, name: str = "") -> Mailbox:
    """The address that `ann@example.org` or `Ann <ann@example.org>` is.

    Raises:
        ValueError: it is none. The text says why.
    """
    bare = text.strip()
    if "<" in bare:
        shown, bare = parseaddr(one_line(bare))
        name = name or shown
    shown = one_line(name)[:_MOST_NAME].rstrip() if name else ""
    local, _, domain = bare.rpartition("@")
    known = domains(domain) if _PLAIN_LOCAL.fullmatch(local) else None
    if known is not None and len(local) + max(map(len, known)) < _MOST_ADDRESS:
        return Mailbox(shown, local, *known)
    try:
        found = _validated(bare)
    except EmailNotValidError as error:
        raise ValueError(f"{text!r} is no mail address: {error}") from None
    local = unicodedata.normalize("NFC", found.local_part)
    return Mailbox(shown, local, found.domain, found.ascii_domain.lower())


@functools.lru_cache(maxsize=10_000)
def domains(text: str) -> Domains | None:
    """The two forms of the part behind the @; None if it is no domain. A list has few of them."""
    try:
        found = _validated(f"x@{text}")
    except EmailNotValidError:
        return None
    return Domains(found.domain, found.ascii_domain.lower())


def _validated(address: str) -> ValidatedEmail:
    return validate_email(address, check_deliverability=False, globally_deliverable=False)
