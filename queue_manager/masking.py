"""Masks what web addresses hold for one reader alone: a user, a password, a token in the query.

Errors and evidence quote addresses of package indexes. Many people read those.
"""

from __future__ import annotations

import re

MASK = "***"

# One pass over a text of any length: a pattern that looks for the end of an address again at each
# of its characters takes minutes for a page of dots, and holds the whole process up.
_ADDRESS = re.compile(r"(?<=\w://)[^\s\"<>`]+")
_MARKS = ")]',.:;"
"""Marks at the end belong to the sentence, not to the address."""


def masked(text: str) -> str:
    """The same text, without users, passwords and queries in its addresses."""
    return _ADDRESS.sub(_without_secrets, text)


def _without_secrets(found: re.Match[str]) -> str:
    address = found[0].rstrip(_MARKS)
    marks = found[0][len(address) :]
    user, at, rest = address.rpartition("@")
    if ":" not in user:  # a password may hold `/` and `@`: all up to the last `@` counts as one
        end = re.search(r"[/?#]", address)
        authority = address[: end.start()] if end else address
        user, at, host = authority.rpartition("@")
        rest = host + address[len(authority) :]
    where, asked, query = rest.partition("?")
    return f"{MASK if at else ''}{at}{where}{asked}{MASK if query else ''}{marks}"
