"""Tags. A worker has some (`WORKER_TAGS`, and its Python), and a job may need some (`needs`).

This module owns what a tag is and how tags are written. It compares none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from ..errors import RefusedError
from ..wire.limits import NAME_CHARS, TAGS

CHARACTERS = "A-Z, a-z, 0-9, -, _ and ."

_PYTHON = re.compile(r"python\d+\.\d+")
_TAG = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_CHARS}}}")


def is_tag(text: str) -> bool:
    """Whether a text may be a tag."""
    return _TAG.fullmatch(text) is not None


def python_tag() -> str:
    """The tag of this Python, such as `python3.13`. Each worker has that of its own by itself."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def given_tags(tags: Iterable[str]) -> list[str]:
    """Those tags of a worker that somebody gave it, sorted: without that of its Python."""
    return sorted(tag for tag in tags if not _PYTHON.fullmatch(tag))


def split_tags(text: str) -> frozenset[str]:
    """Split a text with commas into tags. Blanks around a tag are ignored.

    Raises ValueError if one of the parts is no tag.
    """
    tags = frozenset(part.strip() for part in text.split(",")) - {""}
    if not all(map(is_tag, tags)):
        raise ValueError(f"a tag is made of {CHARACTERS}")
    return tags


def joined(own: Iterable[str], asked: Iterable[str]) -> list[str]:
    """The tags that a run needs: those of its job and those that were asked for with it, sorted.

    Raises RefusedError if there are more than a run may have.
    """
    tags = sorted({*own, *asked})
    if len(tags) > TAGS:
        raise RefusedError(f"a run needs at most {TAGS} tags, and these are {len(tags)}")
    return tags


def in_words(tags: Iterable[str]) -> str:
    """Tags as a sentence names them: `the tag gpu`, `the tags bigmem and gpu together`.

    tags: at least one. That of a Python is `Python 3.11`.
    """
    pythons, given = _pythons(tags), given_tags(tags)
    parts = pythons
    if given:
        *others, last = given
        named = f"the tags {', '.join(others)} and {last}" if others else f"the tag {last}"
        parts = [named, *pythons]
    together = " together" if len(given) + len(pythons) > 1 else ""
    return " and ".join(parts) + together


def as_setting(tags: Iterable[str]) -> str:
    """Tags as a worker is started with them: `WORKER_TAGS=bigmem,gpu`, `Python 3.11`."""
    given = given_tags(tags)
    setting = [f"WORKER_TAGS={','.join(given)}"] if given else []
    return " and ".join([*_pythons(tags), *setting])


def _pythons(tags: Iterable[str]) -> list[str]:
    return [tag.replace("python", "Python ") for tag in sorted(tags) if _PYTHON.fullmatch(tag)]
