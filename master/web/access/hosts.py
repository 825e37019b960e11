"""Under which names the pages answer, and whether a request comes from a page of ours.

A page of another site may give its own name our address, and then passes for one of ours in a
browser ("DNS rebinding"). It can't do so with a number in place of a name, nor with `localhost`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

_LOCAL = "localhost"
_OURS = ("same-origin", "none")


class Hosts:
    """names: those that the pages have beside numbers and `localhost`, in small letters."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def knows(self, header: str) -> bool:
        """Whether a Host header names us."""
        name = _name_of(header)
        return name == _LOCAL or name in self._names or _is_number(name)

    def is_own(self, host: str, origin: str, site: str) -> bool:
        """Whether a request that changes something comes from one of our own pages.

        host, origin, site: its headers Host, Origin and Sec-Fetch-Site; empty if it lacks them. A
        browser sends at least one of the last two.
        """
        if site and site not in _OURS:
            return False
        if not origin:
            return bool(site)
        try:
            place = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return bool(place) and (place == host.lower() or _name_of(place) in self._names)


def _name_of(header: str) -> str:
    """The name in `NAME:PORT`, in small letters and without brackets; empty if there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
