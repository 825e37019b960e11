"""What one submit asks for, as a file in the campaign's folder that all workers read.

A payload of a million must be small, so it has the name of this file and no more. The file is named
by its content: another submit writes another file, and tasks that wait keep what they were made of.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

Tls = Literal["verified", "opportunistic", "off"]


class Campaign(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of messages.

    out: the folder of the campaign. name: the campaign's name, empty for single messages. sender,
    reply_to, bounces: addresses; bounces is where servers send what they can't deliver. subject,
    html, text, unsubscribe: templates. attach, inline: paths. suppressed: the path of the list of
    addresses that get nothing. list_is_there: it was there at the submit, so it is lost where it is
    not. servers: `HOST` or `HOST:PORT`, the best first; `mx` alone is the
    servers of each recipient's domain; none is what the worker's MAIL_SERVER says. dkim_key: the
    path of a private key (PEM). at_once: messages to one domain, and connections to one server, at
    a time. per_minute: starts of messages to one domain in a minute; 0 is any number. warmup:
    messages to one domain on the first day, twice as many on each next day; 0 is any number.
    since: that first day, in ISO 8601. rate: messages to one server in a second; 0 is any number.
    allow_twice: a message that may have been sent is sent again. dry: messages become files.
    retry_s: the pause before the second try, in seconds.
    """

    out: str
    name: str = ""
    sender: str = ""
    reply_to: str = ""
    bounces: str = ""
    subject: str = ""
    html: str = ""
    text: str = ""
    unsubscribe: str = ""
    attach: list[str] = []
    inline: list[str] = []
    suppressed: str = ""
    list_is_there: bool = False
    servers: list[str] = []
    tls: Tls = "verified"
    dkim_key: str = ""
    dkim_selector: str = ""
    dkim_domain: str = ""
    at_once: int = 10
    per_minute: float = 0.0
    warmup: int = 0
    since: str = ""
    rate: float = 0.0
    allow_twice: bool = False
    dry: bool = False
    retry_s: float = 60.0

    @property
    def shared(self) -> Path:
        """The folder of what all campaigns beside this one share."""
        return Path(self.out).parent


def save(campaign: Campaign) -> str:
    """Write the file of a campaign, whole or not at all; returns its name."""
    data = msgspec.json.encode(campaign)
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.json"
    folder = Path(campaign.out) / "asked"
    folder.mkdir(parents=True, exist_ok=True)
    if not _is(folder / name, data):  # also after a crash that left it empty
        part = folder / f".{name}.{os.getpid()}"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / name)
    return name


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def load(out: str, name: str) -> Campaign:
    """Read the file of a campaign.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file.
    """
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of a campaign")
    return msgspec.json.decode((Path(out) / "asked" / name).read_bytes(), type=Campaign)
