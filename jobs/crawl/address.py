"""Addresses: one form for each, so that each is fetched once.

Addresses are parsed and joined as browsers do (WHATWG URL, by ada-url). Escapes have the one form
of RFC 3986, 6.2.2. There is no fragment, no name and no password. The form goes on the wire letter
by letter: it is plain ASCII, and what has a meaning in an address (`%2F`) is not decoded.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable

from ada_url import URL, join_url

LONGEST = 4096
"""A longer address is a trick and no picture. RFC 9110 asks for 8,000 bytes of a request line."""

LONGEST_KEPT = 512
"""Longer references, with their folders, are not remembered: 8,192 of them could take much room."""

LONGEST_LABEL = 63
"""Characters between two dots of a host's name (RFC 1035, 2.3.4)."""

_UNRESERVED = frozenset(f"{string.ascii_letters}{string.digits}-._~")
"""RFC 3986, 2.3: an address is the same whether these are escaped or not. No others are."""

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_OF_THE_FOLDER = frozenset(f"{string.ascii_letters}{string.digits}/._-~%")


def normalized(address: str, base: str | None = None) -> str | None:
    """The one form of an address, joined to `base`. None if it can't be fetched."""
    if len(address) > LONGEST:
        address = address.partition("#")[0]  # a fragment is not sent
        if len(address) > LONGEST:
            return None
    try:
        joined = URL(address).href if base is None else join_url(base, address)
    except ValueError:
        return None
    if not joined.startswith(("http://", "https://")):
        return None
    joined = joined.partition("#")[0]
    if "@" in joined:
        joined = _without_user(joined)
    if "%" in joined:
        joined = _escapes_in_one_form(joined)
    if joined.endswith("?") and joined.find("?") == len(joined) - 1:
        joined = joined[:-1]  # an empty query is not sent
    start = joined.index("//") + 2
    end = joined.index("/", start)
    authority = joined[start:end]
    name = _by_one_name(authority)
    if name is None:
        return None
    if name != authority:
        joined = f"{joined[:start]}{name}{joined[end:]}"
    return joined if len(joined) <= LONGEST else None


def too_long(reference: str, base: str) -> str | None:
    """The whole address of a reference that only its length keeps from being fetched; else None."""
    if len(reference) * _MOST_GROWTH + len(base) <= LONGEST or reference[:5].lower() == "data:":
        return None
    try:
        joined = join_url(base, reference).partition("#")[0]
    except ValueError:
        return None
    found = len(joined) > LONGEST and joined.startswith(("http://", "https://"))
    return joined if found else None


_MOST_GROWTH = 12
"""How many characters one character takes in an address, at most: four bytes, each escaped."""


def _escapes_in_one_form(address: str) -> str:
    # Beside a `%` that begins no escape, a decoded character could complete one: `%%41B`.
    decode = _STRAY_PERCENT.search(address) is None

    def in_one_form(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if decode and character in _UNRESERVED else escape[0].upper()

    return _ESCAPE.sub(in_one_form, address)


@functools.lru_cache(maxsize=4096)
def _by_one_name(authority: str) -> str | None:
    """The host `site.test.` by its name `site.test`. None for a name that no host can have."""
    name = authority.partition(":")[0]
    if not name.startswith("["):
        name = name.removesuffix(".")
        lengths = [len(label) for label in name.split(".")]
        if min(lengths) == 0 or max(lengths) > LONGEST_LABEL:
            return None
    return authority.replace(".:", ":").removesuffix(".")


def joiner(base: str) -> Callable[[str], str | None]:
    """A function that joins the references of one page as `normalized` does, and remembers them.

    Most links of a page are those of the page before. A reference that begins with a name or a
    slash depends on the folder of the base alone. Other references (`?query`, `http:?query`, white
    space) may depend on the whole base. A `#fragment` and `data:` lead nowhere.
    """
    folder = base[: base.partition("?")[0].rfind("/") + 1]

    def join(reference: str) -> str | None:
        short = len(reference) + len(folder) <= LONGEST_KEPT
        plain = ":" not in reference or reference.startswith(("http://", "https://"))
        if short and plain and reference[:1] in _OF_THE_FOLDER:
            return _in_folder(reference, folder)
        if reference.startswith(("#", "data:")):
            return None
        return normalized(reference, base)

    return join


@functools.lru_cache(maxsize=8192)
def _in_folder(reference: str, folder: str) -> str | None:
    return normalized(reference, folder)


@functools.lru_cache(maxsize=1024)
def _parts(origin: str) -> tuple[str, str]:
    url = URL(origin)
    return url.hostname, url.origin


def host_of(address: str) -> str:
    """The name of the host of a normalized address, as it is in it (`[::1]` for IPv6)."""
    return _parts(address[: address.find("/", 8) + 1])[0]


def origin_of(address: str) -> str:
    """Scheme, host and port of a normalized address: what a robots.txt is for."""
    return _parts(address[: address.find("/", 8) + 1])[1]


def _without_user(address: str) -> str:
    url = URL(address)
    url.username = url.password = ""
    return str(url.href)
