"""What the page after an action says, kept in a cookie until that page is shown.

So the address stays clean, and no other site, nor another program on this host, can make a page say
something: the cookie is sealed for its visitor.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import Any

import msgspec

from .cookie_header import value_of
from .cookies import Cookies, Visitor

_MOST = 3_000
"""Characters of a cookie's value. Browsers take 4,096 bytes with its name."""

_ENDS = "Path=/; HttpOnly; SameSite=Strict"
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
        return f"{self.name}={value}; Max-Age={_KEPT_S}; {_ENDS}{'; Secure' * secure}"

    def gone(self) -> str:
        """The Set-Cookie header that removes a note."""
        return f"{self.name}=; Max-Age=0; {_ENDS}"

    def read(self, visitor: Visitor, header: str) -> Note | None:
        """The note in a Cookie header, if it is one of ours for this visitor."""
        said, _, seal = value_of(header, self.name).rpartition(".")
        ours = self._cookies.seal(visitor, said)
        if not said or not hmac.compare_digest(
            seal.encode("utf-8", "surrogatepass"), ours.encode()
        ):
            return None
        data = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
        return Note(*msgspec.json.decode(data, type=tuple[str, dict[str, Any]]))
