"""The two tokens, and the right that each gives."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import IntEnum


class Right(IntEnum):
    """What a visitor may do. Each right includes those before it."""

    NONE = 0
    READ = 1
    ACT = 2


@dataclass(frozen=True)
class Tokens:
    """What opens the pages. read: to look. act: to change something, too."""

    read: str = field(repr=False)
    act: str = field(repr=False)

    def right_of(self, shown: str) -> Right:
        """The right that a token gives. All of one length take the same time."""
        guess = shown.encode("utf-8", "surrogatepass")
        may_read = hmac.compare_digest(guess, self.read.encode())
        may_act = hmac.compare_digest(guess, self.act.encode())
        return Right.ACT if may_act else Right.READ if may_read else Right.NONE

    def of(self, right: Right) -> str:
        """The token that gives a right."""
        return self.act if right is Right.ACT else self.read
