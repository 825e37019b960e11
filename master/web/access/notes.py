"""What the page after an action says, kept in a cookie until that page is shown.

So the address stays clean, and no other site, nor another program on this host, can make a page say
something: the cookie is sealed for its visitor.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from .cookie_header import set_cookie, value_of
from .cookies import Cookies, Visitor
from .tokens import is_same

_MOST = 3_000
"""Characters of a cookie's value. Browsers take 4,096 bytes with its name."""

_KEPT_S = 60


@dataclass(frozen=True)
class Note:
    """What was done. name: its template is `said/NAME.html`. of: the numbers and names in it."""

    name: str
    of: dict[str, Any]


class Notes:
    """Writes and reads the cookies of notes."""

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self.name = f"{cookies.name}-said"

    def header(self, visitor: Visitor, note: Note, secure: bool) -> str:
        """The Set-Cookie header that takes a note to the next page."""
        data = msgspec.json.encode([note.name, note.of])
        said = base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
        value = f"{said}.{self._cookies.seal(visitor, said)}"
        if len(value) > _MOST:  # the page then says nothing, the log has it
            return self.gone()
        return set_cookie(self.name, value, _KEPT_S, secure)

    def gone(self) -> str:
        """The Set-Cookie header that removes a note."""
        return set_cookie(self.name, "", 0)

    def read(self, visitor: Visitor, header: str) -> Note | None:
        """The note in a Cookie header, if it is one of ours for this visitor."""
        said, _, seal = value_of(header, self.name).rpartition(".")
        if not said or not is_same(seal, self._cookies.seal(visitor, said)):
            return None
        data = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
        return Note(*msgspec.json.decode(data, type=tuple[str, dict[str, Any]]))
