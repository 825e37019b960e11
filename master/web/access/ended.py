"""Which visits have ended by a log-out, so that a copy of their cookie opens nothing any more.

They are kept in a file of the master's folder until the cookie would have ended by itself. The file
has a hash of each cookie, with which nobody can make the cookie.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

import msgspec

from queue_manager.authkey import write_file

log = logging.getLogger("quartermaster.web")

MOST = 10_000
"""How many are kept. Those that would end first by themselves go first."""

_decoder = msgspec.json.Decoder(dict[str, int])


class Ended:
    """path: of the file; None: nothing is kept longer than this process."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._writing = asyncio.Lock()
        self._until = _read(path)

    def has(self, cookie: str) -> bool:
        """Whether the visit with this cookie has ended."""
        return _hash(cookie) in self._until

    async def note(self, cookie: str, until: int, now: float) -> None:
        """A visit has ended. until, now: when its cookie ends by itself, UTC epoch in seconds."""
        kept = {one: end for one, end in self._until.items() if end > now}
        kept[_hash(cookie)] = until
        newest = sorted(kept.items(), key=lambda item: item[1])[-MOST:]
        self._until = dict(newest)
        async with self._writing:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_file(self._path, msgspec.json.encode(self._until), 0o600, replace=True)
        except OSError as error:
            log.warning(
                "%s: %s: a log-out holds until the pages start again; delete the tokens beside it"
                " to end all visits",
                self._path,
                error.strerror,
            )


def _read(path: Path | None) -> dict[str, int]:
    if path is None:
        return {}
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s can't be read, so log-outs before now do not count: %s", path, error)
        return {}


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
