"""One message as the bytes that a server gets. Nothing in a row can begin a header of its own."""

from __future__ import annotations

import functools
import hashlib
import mimetypes
import os
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from ..addresses import Mailbox, header_text, mailbox, one_line
from ..campaign import Campaign
from .templates import as_text, render

_URL = "!#$%&'()*+,/:;=?@[]~-._"
"""What an address may have in `List-Unsubscribe` as it is; the rest is escaped."""

_ASCII = SMTP.clone(cte_type="7bit")
"""For servers without 8BITMIME, too."""

MOST_URL = 900
"""The most characters of that address: a line of a header has at most 998."""


class Message(msgspec.Struct, frozen=True):
    """A message. id: in its Message-ID. data: all of it, lines end with CRLF; ASCII alone, unless
    needs_utf8."""

    id: str
    sender: Mailbox
    bounces: str
    to: Mailbox
    data: bytes
    utf8_headers: bool = False
    """Whether an address in its headers has letters outside ASCII."""

    @property
    def needs_utf8(self) -> bool:
        """Whether a server must know SMTPUTF8 to take it."""
        return self.utf8_headers or not self.bounces.isascii()


def identity(campaign: str, to: Mailbox) -> str:
    """The same text for the same campaign and recipient, and for no other."""
    return hashlib.sha256(f"{campaign}\0{to.key}".encode()).hexdigest()[:32]


def made(
    campaign: Campaign, name: str, to: Mailbox, values: dict[str, Any], *, verbatim: bool
) -> Message:
    """Make a message.

    Args:
        name: its id, for the Message-ID.
        values: what the templates are filled with.
        verbatim: subject and texts are no templates.

    Raises:
        ValueError: it can't be made. The text says why.
        OSError: a file can't be read.
    """
    fill = _as_it_is if verbatim else render
    sender = mailbox(campaign.sender)
    # A `+` in an address would be a blank to the server that is asked.
    escaped = {**values, "to": quote(to.envelope, safe="@")}
    link = _link(fill(campaign.unsubscribe, escaped, html=False))
    values = {**values, "to": to.envelope, "unsubscribe": link}
    html = _allowed(fill(campaign.html, values, html=True))
    text = _allowed(fill(campaign.text, values, html=False)) or as_text(html)

    people = {"From": sender, "To": to}
    if campaign.reply_to:
        people["Reply-To"] = mailbox(campaign.reply_to)
    utf8 = any(one.needs_utf8 for one in people.values())
    message = EmailMessage(policy=SMTPUTF8 if utf8 else _ASCII)
    message["Date"] = formatdate(usegmt=True)
    _fill(message, text, html, campaign)
    subject = header_text("Subject", one_line(fill(campaign.subject, values, html=False)))
    own = _own_headers(name, sender.ascii_domain, link, subject, people)
    data = own + message.as_bytes()
    return Message(name, sender, _bounces(campaign, sender), to, data, utf8)


def _fill(message: EmailMessage, text: str, html: str, campaign: Campaign) -> None:
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
        part = list(message.iter_parts())[-1]
        assert isinstance(part, EmailMessage)
        for path in campaign.inline:
            # A program shows it where the HTML says src="cid:NAME".
            shown = _name_of(path)
            main, sub, data = _file(path)
            cid = f"<{quote(shown)}>"
            part.add_related(data, main, sub, cid=cid, filename=shown, disposition="inline")
    for path in campaign.attach:
        main, sub, data = _file(path)
        message.add_attachment(data, main, sub, filename=_name_of(path))


def _own_headers(
    name: str, domain: str, link: str, subject: str, people: dict[str, Mailbox]
) -> bytes:
    """Headers that EmailMessage breaks where they are long: it encodes ids, and cuts up names."""
    lines = [f"{field}: {who.header(field)}" for field, who in people.items()]
    lines.append(f"Subject: {subject}")
    lines.append(f"Message-ID: <{name}@{domain}>")
    if link:
        lines.append(f"List-Unsubscribe: <{link}>")
        if link.startswith("https:"):
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _link(text: str) -> str:
    link = quote(text.strip(), safe=_URL)
    if link and not link.startswith(("https:", "http:", "mailto:")):
        raise ValueError(f"unsubscribe={text!r} is no address that begins with https: or mailto:")
    if len(link) > MOST_URL:
        raise ValueError(f"the address in List-Unsubscribe has more than {MOST_URL} characters")
    return link


def _bounces(campaign: Campaign, sender: Mailbox) -> str:
    return mailbox(campaign.bounces).envelope if campaign.bounces else sender.envelope


def _allowed(text: str) -> str:
    """A body without what none may have: NUL (RFC 5322, 2.3), and lone surrogates, which have no
    bytes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _name_of(path: str) -> str:
    return one_line(Path(path).name) or "file"


def _as_it_is(source: str, values: dict[str, Any], *, html: bool) -> str:
    return source


def _file(path: str) -> tuple[str, str, bytes]:
    """Type and content of a file."""
    stat = os.stat(path)
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=16)
def _read(path: str, changed_ns: int, size: int) -> tuple[str, str, bytes]:
    kind, packed = mimetypes.guess_type(path)
    main, _, sub = (kind if kind and not packed else "application/octet-stream").partition("/")
    if main in ("text", "message", "multipart"):  # sent byte by byte, whatever its charset is
        main, sub = "application", "octet-stream"
    return main, sub, Path(path).read_bytes()
