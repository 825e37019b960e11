"""Texts as PostgreSQL can keep them: it has no text with the character of the number 0.

Such a character becomes two others, and comes back as itself. They are of a plane that Unicode
leaves to private use. Texts without any of them, nearly all, stay as they are.
"""

from __future__ import annotations

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format

_MARK = "\U0010fffd"
_NOTHING, _ITSELF = f"{_MARK}0", f"{_MARK}1"
_MARK_BYTES = _MARK.encode()


def kept(text: str) -> str:
    """The text as it is kept."""
    if "\0" in text or _MARK in text:
        return text.replace(_MARK, _ITSELF).replace("\0", _NOTHING)
    return text


def given(text: str) -> str:
    """The text that is kept so."""
    return text.replace(_NOTHING, "\0").replace(_ITSELF, _MARK)


class _TextLoader(Loader):
    """Makes the texts of rows."""

    def load(self, data: Buffer) -> str:
        text = bytes(data)
        return given(text.decode()) if _MARK_BYTES in text else text.decode()


class _BinaryTextLoader(_TextLoader):
    format = Format.BINARY


def register(adapters: AdaptersMap) -> None:
    """Have a connection's rows give texts back as they were."""
    adapters.register_loader("text", _TextLoader)
    adapters.register_loader("text", _BinaryTextLoader)
