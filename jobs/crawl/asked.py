"""The types of a crawl's arguments: `submit` refuses a wrong value.

Each type is a text that raises ValueError for a wrong value.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .address import host_of, normalized
from .look.kinds import TYPES
from .site import ALL_HOSTS

_OTHER_NAMES = {"jpeg": "jpg", "tif": "tiff"}


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _host(word: str) -> str:
    address = normalized(word if "//" in word else f"http://{word}/")
    if address is None:
        raise ValueError(word)
    return host_of(address)


class Start(str):
    """The normalized address of the first page."""

    def __new__(cls, text: str) -> Start:
        address = normalized(text)
        if address is None:
            raise ValueError(text)
        return super().__new__(cls, address)


class Hosts(str):
    """Names of hosts with commas between them, addresses on them, or `*`."""

    def __new__(cls, text: str = "") -> Hosts:
        made = super().__new__(cls, text)
        made.names()
        return made

    def names(self) -> list[str]:
        """The names as they are in normalized addresses. Raises ValueError."""
        return [word if word == ALL_HOSTS else _host(word) for word in _words(self)]


class Types(str):
    """Types of pictures with commas between them."""

    def __new__(cls, text: str = "") -> Types:
        made = super().__new__(cls, text)
        if unknown := set(made.names()) - set(TYPES):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return made

    def names(self) -> list[str]:
        """The types by the endings of their files."""
        return [_OTHER_NAMES.get(word, word) for word in _words(self.lower())]


Address = Annotated[Start, msgspec.Meta(description="address, http://...")]
ListOfHosts = Annotated[
    Hosts, msgspec.Meta(description="list of hosts with commas between them, or *")
]
ListOfTypes = Annotated[
    Types, msgspec.Meta(description=f"list with commas between them, of {', '.join(TYPES)}")
]
Count = Annotated[int, msgspec.Meta(ge=1, description="whole number, 1 or more")]
CountOrNone = Annotated[int, msgspec.Meta(ge=0, description="whole number, 0 or more")]
Rate = Annotated[float, msgspec.Meta(ge=0, description="number, 0 or more")]

NO_HOSTS, ALL_TYPES = Hosts(), Types()
