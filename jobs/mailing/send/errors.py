"""What may become of a message, other than that it is sent. Each has the words for people."""

from __future__ import annotations

import re

_ENHANCED = re.compile(r"\W{0,2}([245]\.\d{1,3}\.\d{1,3})\b")
"""The code of RFC 3463 that an answer begins with."""

_OF_ONE_MESSAGE = re.compile(r"4\.2\.|4\.5\.3$")
"""Codes that speak of one mailbox, which is full, say, or of one message."""

_TOO_MANY = re.compile(
    r"too many|too much|rate.?limit|throttl|exceed|try again later.*volume|unusual rate", re.I
)
_OF_THE_SESSION = re.compile(r"session|connection|time.?out|timed out|idle|inactiv", re.I)
_BAD_ADDRESS = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"}
"""The recipient's address is wrong, RFC 3463. 5.1.7 and 5.1.8 are about the sender's."""


class NotSent(Exception):
    """The server has not taken the message, for certain. Another try may send it."""


class Later(NotSent):
    """Its turn comes later. pause_s: seconds until then."""

    def __init__(self, words: str, pause_s: float) -> None:
        super().__init__(words)
        self.pause_s = pause_s


class WrongSetup(NotSent):
    """The set-up is wrong, so that no try sends it before a person mends that."""


class Broken(NotSent):
    """The connection broke before the end of the data. Another server may do."""


class Unknown(Exception):
    """The connection broke when the server may have taken the message."""


class Unusable(Exception):
    """A server can't be used now: it is away, or lets nobody in. Another server may do.

    too_many: it wants less of everybody.
    """

    def __init__(self, words: str, *, too_many: bool = False) -> None:
        super().__init__(words)
        self.too_many = too_many


class Refused(Exception):
    """A server's answer that is no consent.

    Attributes:
        code: 400 to 599. words: the answer, in one line. to_recipient: the answer is about the
            recipient or the message, not about the sender or the session.
    """

    def __init__(self, code: int, words: bytes | str, *, to_recipient: bool = True) -> None:
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        self.code, self.to_recipient = code, to_recipient
        self.words = " ".join(text.split())[:1000]
        super().__init__(f"{code} {self.words}")

    @property
    def for_good(self) -> bool:
        """Whether asking again is no use."""
        return self.code >= 500

    @property
    def too_many(self) -> bool:
        """Whether the server wants less of everybody."""
        if self.code == 421:
            return True
        if self.for_good or _OF_ONE_MESSAGE.match(self._enhanced):
            return False
        return bool(_TOO_MANY.search(self.words))

    @property
    def ends_session(self) -> bool:
        """Whether a new session may do at once: this one was idle, or has had its share.

        A 421 may also mean that the server wants no more of this sender for a while.
        """
        wants_less = self._enhanced.startswith("4.7.") or _TOO_MANY.search(self.words)
        return self.code == 421 and (not wants_less or bool(_OF_THE_SESSION.search(self.words)))

    @property
    def hard(self) -> bool:
        """Whether the address does not exist, so that nothing must be sent to it again."""
        return self.for_good and self.to_recipient and self._enhanced in _BAD_ADDRESS

    @property
    def code_alone(self) -> str:
        """The answer without the server's words, such as `535 5.7.8`."""
        return f"{self.code} {self._enhanced}".strip()

    @property
    def _enhanced(self) -> str:
        found = _ENHANCED.match(self.words)
        return found[1] if found else ""
