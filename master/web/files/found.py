"""Which folder below HTTP_FILES a run writes to, and what is there.

Jobs name it by `out=`. Without it their default counts, and a folder of the job's and the key's
name in `HTTP_FILES`: `/shared/mail/spring-2026` is that of the keys `spring-2026` and
`mail:spring-2026`, for a job that makes the keys of its runs may begin them with its own name.
"""

from __future__ import annotations

import ast
import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from queue_manager.errors import QueueError
from queue_manager.wire.job_records import JobInfo
from queue_manager.wire.messages import AskJobs, JobList
from queue_manager.wire.records import RunStatus

from ..link.master import Master
from .disk import Disk, SlowDiskError
from .opened import Entry, NoFileError, listed, parts_of

OUT = "out"
PAGE = "index.html"
"""What a browser is to open first in a folder."""

_SHOWN = 8
_LOOK_S = 35.0
"""How long the look at a job may take: its import has 30 s."""

_WAITED_S = 1.0
"""How long a page waits for it. Later the folder is known."""

_KEPT = 64
_AGAIN_S = 15.0
"""How long nobody asks again behind an error: each look at a job starts a process."""


class Written(NamedTuple):
    """What a run has written. folder: its path below HTTP_FILES. page: it has an index.html."""

    folder: str
    page: bool
    entries: list[Entry]
    more: int


class Outs:
    """Knows the defaults of `out=`, by the job and the version of its code."""

    def __init__(self, master: Master, again_s: float = _AGAIN_S) -> None:
        self._master, self._again_s = master, again_s
        self._known: OrderedDict[tuple[str, str], asyncio.Task[str]] = OrderedDict()

    async def default(self, run: RunStatus) -> str:
        """The default of a run's job; empty if there is none, or nobody knows it yet."""
        key = run.job, run.version
        if key not in self._known:
            self._known[key] = asyncio.create_task(self._ask(key))
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        done, _ = await asyncio.wait([self._known[key]], timeout=_WAITED_S)
        return next(iter(done)).result() if done else ""

    async def _ask(self, key: tuple[str, str]) -> str:
        try:
            found = await self._master.ask(partial(AskJobs, job=key[0]), JobList, _LOOK_S)
        except QueueError:  # the master is away or busy, or the job can't be imported now
            asyncio.get_running_loop().call_later(self._again_s, self._known.pop, key, None)
            return ""
        return default_of(found.jobs)


def default_of(jobs: list[JobInfo]) -> str:
    """The default of `out=` of a job, which is told as Python writes it."""
    defaults = (a.default for job in jobs for a in job.arguments if a.name == OUT)
    return _literal(next(defaults, None) or "")


def _literal(text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


async def written_by(run: RunStatus, root: Path, outs: Outs, disk: Disk) -> Written | None:
    """What a run has written below the folder; None: nothing that is known, or can be seen now."""
    given = [arg.partition("=")[2] for arg in run.args if arg.startswith(f"{OUT}=")]
    if given and given[-1]:
        outs_of = [given[-1], _literal(given[-1])]  # a client's values are told as Python does
    elif run.run and not run.uploaded:
        outs_of = [await outs.default(run)]
    else:
        outs_of = []
    if run.key:
        name = run.key.removeprefix(f"{run.job}:")
        outs_of.append(f"{root}/{run.job}/{name}")
    folders = [*_below(root, outs_of)]
    try:
        return await disk.recent(str(folders), _first, root, folders)
    except SlowDiskError:
        return None


def _below(root: Path, folders: list[str]) -> Iterator[list[str]]:
    """The parts of those folders that are below the root. The root itself is none of them."""
    for folder in folders:
        try:
            path = PurePosixPath(folder).relative_to(root)
            parts = parts_of(str(path))
        except (ValueError, NoFileError):
            continue
        if parts:
            yield parts


def _first(root: Path, folders: list[list[str]]) -> Written | None:
    for parts in folders:
        try:
            found = listed(root, parts)
        except NoFileError:
            continue
        if found.entries:
            page = any(one.name == PAGE and not one.folder for one in found.entries)
            files = [one for one in found.entries if not one.folder]
            # A job may have hundreds of folders with names that tell people nothing.
            rest = [one for one in files if one.name != PAGE] if files else found.entries
            more = len(rest) - _SHOWN if len(rest) > _SHOWN else int(found.more)
            return Written("/".join(parts), page, rest[:_SHOWN], more)
    return None


def as_plain(written: Written) -> dict[str, Any]:
    """The same for a page and its JSON."""
    entries = [one._asdict() for one in written.entries]
    return {**written._asdict(), "entries": entries}
