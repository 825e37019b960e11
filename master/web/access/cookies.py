"""The cookie that stands for a token, and the field that a form of ours has.

A cookie says its right and its end, sealed with the token. So it holds over restarts, nothing is
kept for it, and nobody can read the token out of it. A new token ends all cookies of the old one,
and a log-out ends one. A browser sends its cookies to all ports of a host: whoever else listens on
this host may get one, so the one that may act ends soon.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from .cookie_header import set_cookie, value_of
from .ended import Ended
from .tokens import Right, Tokens, is_same

LASTS_S = {Right.READ: 30 * 86_400, Right.ACT: 12 * 3_600}
"""How long a cookie is good, by its right."""

KEPT_S = 2 * 86_400
"""So much longer a browser keeps a cookie: its clock may be set while it has one. It is of no use
then, for a cookie says its end itself."""

_NAMES = {"read": Right.READ, "act": Right.ACT}


@dataclass(frozen=True)
class Visitor:
    """Who sends a request. proof: the cookie, which a form's field must fit; empty for a program
    that has shown the token itself. address: where the request comes from."""

    right: Right
    proof: str = ""
    address: str = ""

    @property
    def name(self) -> str:
        """As a line of the log names the visitor."""
        how = "a browser" if self.proof else "a program"
        return f"{how} at {self.address} with the token `{self.right.name.lower()}`"


class Cookies:
    """Makes and reads the cookies of one installation.

    ended: the visits that have ended. now: the time by which they end, UTC epoch in seconds. name:
    of the cookie. Cookies do not know ports, so two installations on one host need two names.
    """

    def __init__(
        self,
        tokens: Tokens,
        ended: Ended | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self.now = now
        self._ended = ended or Ended()
        self.name = f"quartermaster-{hashlib.sha256(tokens.read.encode()).hexdigest()[:8]}"

    def make(self, right: Right, now: float) -> str:
        """The value of a cookie with this right. now: UTC epoch in seconds."""
        until = int(now + LASTS_S[right])
        said = f"{right.name.lower()}.{secrets.token_hex(8)}.{until}"
        return f"{said}.{self._seal(right, 'cookie', said)}"

    def header(self, right: Right, now: float, secure: bool) -> str:
        """The Set-Cookie header. secure: the browser sends it over encrypted connections only."""
        kept_s = LASTS_S[right] + KEPT_S
        return set_cookie(self.name, self.make(right, now), kept_s, secure)

    def gone(self) -> str:
        """The Set-Cookie header that removes it."""
        return set_cookie(self.name, "", 0)

    def read(self, header: str, now: float) -> tuple[Right, str]:
        """The right of a Cookie header, and the cookie's value."""
        value = value_of(header, self.name)
        return self._right(value, now), value

    async def end(self, visitor: Visitor, now: float) -> None:
        """A visitor goes: the cookie opens nothing any more, whoever else has it."""
        if visitor.proof:
            await self._ended.note(visitor.proof, _until(visitor.proof), now)

    def _right(self, value: str, now: float) -> Right:
        said, _, seal = value.rpartition(".")
        right = _NAMES.get(said.partition(".")[0], Right.NONE)
        if right is Right.NONE or _until(value) <= now:
            return Right.NONE
        good = is_same(seal, self._seal(right, "cookie", said))
        return right if good and not self._ended.has(value) else Right.NONE

    def form_field(self, visitor: Visitor) -> str:
        """What the hidden field of a form has. Another site can't know it."""
        return self._seal(visitor.right, "form", visitor.proof)

    def is_form_field(self, visitor: Visitor, shown: str) -> bool:
        """Whether a form is ours, made for this visitor."""
        return is_same(shown, self.form_field(visitor))

    def seal(self, visitor: Visitor, said: str) -> str:
        """Proves that we have said something, and to this visitor."""
        return self._seal(visitor.right, "said", f"{visitor.proof}:{said}")

    def _seal(self, right: Right, use: str, said: str) -> str:
        key = self._tokens.of(right).encode()
        return hmac.new(key, f"{use}:{said}".encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _until(value: str) -> int:
    """When a cookie ends by itself; 0: it is none of ours."""
    parts = value.split(".")
    ends = parts[2] if len(parts) == 4 else ""
    return int(ends) if ends.isascii() and ends.isdigit() and len(ends) < 16 else 0
