"""Masks what web addresses hold for one reader alone: a user, a password, a token in the query.

Errors and evidence quote addresses of package indexes. Many people read those.
"""

from __future__ import annotations

import re

MASK = "***"

# A password may hold `/` and `@` where it was written down wrongly: with a colon before the first
# slash, all up to the last `@` counts as one. That masks too much sooner than too little.
_USER = re.compile(r"(\w://)(?:[^\s/:@?#\"<>`]*:[^\s\"<>`]*|[^\s/?#\"<>`]*)@")
# Marks at the end belong to the sentence, not to the address.
_QUERY = re.compile(r"(\w://[^\s?\"<>`]*\?)[^\s\"<>`]+?(?=[)\]',.:;]*(?:[\s\"<>`]|$))")


def masked(text: str) -> str:
    """The same text, without users, passwords and queries in its addresses."""
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))
