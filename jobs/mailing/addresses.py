"""Mail addresses: checked, in one form, and as headers show them. Knows nothing of servers."""

from __future__ import annotations

import re
import unicodedata
from email.header import Header
from email.utils import parseaddr, quote

import msgspec
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_MOST_NAME = 200
_END = "\r\n"

for _own in ("local", "test"):  # names that a network of one's own may have
    if _own in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_own)


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
        if self.name.isascii():
            return f'"{quote(self.name)}"\r\n {address}'
        return f"{Header(self.name, 'utf-8', header_name=field).encode(linesep=_END)}\r\n {address}"


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
    try:
        found = validate_email(bare, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"{text!r} is no mail address: {error}") from None
    local = unicodedata.normalize("NFC", found.local_part)
    return Mailbox(
        one_line(name)[:_MOST_NAME].rstrip(), local, found.domain, found.ascii_domain.lower()
    )
