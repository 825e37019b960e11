"""Tags. A worker has some (`WORKER_TAGS`), and a job may need some (`Options(needs=)`).

This module owns what a tag is and how tags are written. It compares none.
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
    """Split a text with commas into tags. Blanks around a tag are ignored.

    Raises ValueError if one of the parts is no tag.
    """
    tags = frozenset(part.strip() for part in text.split(",")) - {""}
    if not all(map(is_tag, tags)):
        raise ValueError(f"a tag is made of {CHARACTERS}")
    return tags


def in_words(tags: Iterable[str]) -> str:
    """Tags as a sentence names them: `the tag gpu`, `the tags bigmem and gpu together`."""
    *others, last = sorted(tags)
    return f"the tags {', '.join(others)} and {last} together" if others else f"the tag {last}"


def as_setting(tags: Iterable[str]) -> str:
    """Tags as a worker's setting: `WORKER_TAGS=bigmem,gpu`."""
    return f"WORKER_TAGS={','.join(sorted(tags))}"
