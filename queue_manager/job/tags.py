"""Tags: what a worker has (`WORKER_TAGS`) and a job needs (`Options(needs=)`).

Owns what a tag is and how tags are written; knows nothing of who compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..wire.limits import NAME_CHARS

CHARACTERS = "A-Z, a-z, 0-9, -, _ and ."

_TAG = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_CHARS}}}")


def is_tag(text: str) -> bool:
    """Whether a text may be a tag."""
    return _TAG.fullmatch(text) is not None


def split_tags(text: str) -> frozenset[str]:
    """The tags of a text with commas; blanks around them count for nothing.

    Raises ValueError when one of them is no tag.
    """
    tags = frozenset(part.strip() for part in text.split(",")) - {""}
    if not all(map(is_tag, tags)):
        raise ValueError(f"a tag is made of {CHARACTERS}")
    return tags


def in_words(tags: Iterable[str]) -> str:
    """For people: `the tag gpu`, `the tags bigmem and gpu together`."""
    *others, last = sorted(tags)
    return f"the tags {', '.join(others)} and {last} together" if others else f"the tag {last}"


def as_setting(tags: Iterable[str]) -> str:
    """As a worker is given them: `WORKER_TAGS=bigmem,gpu`."""
    return f"WORKER_TAGS={','.join(sorted(tags))}"
