"""The types of a campaign's arguments: `submit` refuses a wrong value. And what they ask for.

Each type is a text that raises ValueError for a wrong value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from dkim.crypto import UnparsableKeyError, parse_pem_private_key

from .addresses import mailbox
from .campaign import Campaign
from .letter import templates
from .send.servers import MX, server_of


class Mail(str):
    """A mail address, or nothing."""

    def __new__(cls, text: str = "") -> Mail:
        if text:
            mailbox(text)
        return super().__new__(cls, text)


class File(str):
    """The path of a file that is there, or nothing."""

    def __new__(cls, text: str = "") -> File:
        if text and not os.access(text, os.R_OK):
            raise ValueError(text)
        return super().__new__(cls, os.path.abspath(text) if text else "")


class Files(str):
    """Paths of files that are there, with commas between them."""

    def __new__(cls, text: str = "") -> Files:
        made = super().__new__(cls, text)
        made.paths()
        return made

    def paths(self) -> list[str]:
        """The paths. Raises ValueError."""
        return [str(File(part.strip())) for part in self.split(",") if part.strip()]


class Template(str):
    """The path of a template that is there and can be read."""

    def __new__(cls, text: str = "") -> Template:
        made = super().__new__(cls, File(text))
        if made:
            templates.check(made.content(), html=made.is_html)
        return made

    @property
    def is_html(self) -> bool:
        """Whether it is HTML, by its name."""
        return Path(self).suffix.lower() in (".html", ".htm")

    def content(self) -> str:
        """What is in the file."""
        return Path(self).read_text("utf-8")


class Key(str):
    """The path of a private key on the workers. If it is here, too, it must be one."""

    def __new__(cls, text: str = "") -> Key:
        if text and os.access(text, os.R_OK):
            try:
                parse_pem_private_key(Path(text).read_bytes())
            except (UnparsableKeyError, OSError) as error:
                raise ValueError(f"{text} is no private key: {error}") from None
        return super().__new__(cls, text)


class Name(str):
    """The name of a campaign, which may be the name of a folder."""

    def __new__(cls, text: str = "") -> Name:
        if text and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", text, re.ASCII):
            raise ValueError(text)
        return super().__new__(cls, text)


class Servers(str):
    """Mail servers with commas between them, or `mx`."""

    def __new__(cls, text: str = "") -> Servers:
        made = super().__new__(cls, text)
        names = made.names()
        for name in names:
            if name != MX or len(names) > 1:
                server_of(name)
        return made

    def names(self) -> list[str]:
        """The servers, the best first."""
        return self.replace(",", " ").split()


class Day(str):
    """A day or a moment in ISO 8601, or nothing."""

    def __new__(cls, text: str = "") -> Day:
        if text:
            datetime.fromisoformat(text)
        return super().__new__(cls, text)


Address = Annotated[Mail, msgspec.Meta(description="mail address, such as ann@example.org")]
Readable = Annotated[File, msgspec.Meta(description="path of a file that the master can read")]
ListOfFiles = Annotated[
    Files, msgspec.Meta(description="list of files that the master can read, with commas")
]
TemplateFile = Annotated[
    Template, msgspec.Meta(description="path of a Jinja2 template, .html or .txt, without errors")
]
PrivateKey = Annotated[
    Key, msgspec.Meta(description="path of a private key in PEM that the workers can read")
]
CampaignName = Annotated[
    Name, msgspec.Meta(description="name made of letters, digits, dots, - and _")
]
ListOfServers = Annotated[
    Servers, msgspec.Meta(description="list of mail servers, HOST or HOST:PORT with commas, or mx")
]
FirstDay = Annotated[Day, msgspec.Meta(description="day, such as 2026-12-01")]
Count = Annotated[int, msgspec.Meta(ge=1, description="whole number, 1 or more")]
CountOrNone = Annotated[int, msgspec.Meta(ge=0, description="whole number, 0 or more")]
Rate = Annotated[float, msgspec.Meta(ge=0, description="number, 0 or more")]
Seconds = Annotated[float, msgspec.Meta(gt=0, description="number of seconds above 0")]

NO_MAIL, NO_FILE, NO_FILES, NO_TEMPLATE = Mail(), File(), Files(), Template()
NO_NAME, NO_SERVERS, NO_DAY, NO_KEY = Name(), Servers(), Day(), Key()


_AS_THEY_ARE = (
    *("out", "sender", "reply_to", "bounces", "subject", "unsubscribe", "since"),
    *("tls", "dkim_selector", "dkim_domain"),
    *("at_once", "per_minute", "warmup", "rate", "dry", "retry_s"),
)


def campaign_of(given: Mapping[str, Any]) -> Campaign:
    """What messages are made of, in plain values.

    given: the arguments of a submit by their names, all of them. A program gives plain texts.

    Raises:
        ValueError: a value is wrong.
    """
    template, text = Template(given["template"]), str(given["text"])
    page = template.content() if template else ""
    beside = Path(given["out"]).parent / "suppressed.txt"
    suppressed = os.path.abspath(File(given["suppressed"]) or beside)
    return Campaign(
        name=str(given["campaign"]),
        html=page if template.is_html else "",
        text=text or ("" if template.is_html else page),
        attach=Files(given["attach"]).paths(),
        inline=Files(given["inline"]).paths(),
        suppressed=suppressed,
        dkim_key=str(Key(given["dkim_key"])),
        list_is_there=os.path.exists(suppressed),
        servers=Servers(given["server"]).names(),
        allow_twice=given["duplicates"] == "allow",
        **{name: _plain(given[name]) for name in _AS_THEY_ARE},
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value
