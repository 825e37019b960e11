"""Gives a file to a browser, in which nothing of it may run.

Jobs fetch files from anywhere, so a page or a picture may hold the script of a stranger.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from .disk import Disk, SlowDiskError
from .opened import NoFileError, opened, parts_of

POLICY = (
    "sandbox allow-same-origin allow-downloads; default-src 'none'; img-src 'self' data:;"
    " style-src 'self' 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""No script runs, no form is sent. A page keeps our origin: without it, the browser would send no
cookie for the pictures of a contact sheet."""

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_TO_KEEP = "application/"
"""A browser keeps such a file, and shows nothing of it; but JSON is a text."""

_TYPES = {
    ".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
    ".png": "image/png", ".apng": "image/apng", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif", ".bmp": "image/bmp",
    ".ico": "image/x-icon",
    ".json": _JSON, ".pdf": "application/pdf",
    ".gz": "application/gzip", ".zip": "application/zip", ".zst": "application/zstd",
    ".xz": "application/x-xz", ".bz2": "application/x-bzip2", ".tar": "application/x-tar",
    ".parquet": "application/vnd.apache.parquet", ".arrow": "application/vnd.apache.arrow.file",
    ".npy": "application/octet-stream", ".npz": "application/octet-stream",
}  # fmt: skip
"""What a browser is told of a file, by its ending. It takes any other file for a text, and never
guesses: see `X-Content-Type-Options`."""


def type_of(name: str) -> str:
    """The media type of a file with this name."""
    return _TYPES.get(PurePosixPath(name).suffix.lower(), _TEXT)


class Files:
    """The files below a folder. folder: HTTP_FILES."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk

    def routes(self) -> list[Route]:
        """The one for files. A folder has a page, to which it leads."""
        return [Route("/files/{path:path}", self._show)]

    async def _show(self, request: Request) -> Response | _File:
        path: str = request.path_params["path"]
        try:
            parts = parts_of(path)
            found = contextlib.ExitStack()
            entered = found.enter_context
            path_opened = opened(self._folder, parts)
            look = self._disk.look(entered, path_opened, late=found.close)
            descriptor, status = await look
        except SlowDiskError as error:
            raise HTTPException(503, str(error), {"Retry-After": "3"}) from None
        except NoFileError:
            raise HTTPException(404, "there is no such file, or it is none to show") from None
        if stat.S_ISDIR(status.st_mode):
            found.close()
            return RedirectResponse(f"/folders/{quote('/'.join(parts))}", 303)
        return _File(descriptor, status, parts[-1], found)


class _File:
    """One file as an answer, also a range of it. opened: is closed behind it."""

    def __init__(
        self, descriptor: int, status: os.stat_result, name: str, opened: contextlib.ExitStack
    ) -> None:
        self._opened, self._size_bytes = opened, status.st_size
        kind = type_of(name)
        self._answer = FileResponse(
            f"/dev/fd/{descriptor}",  # the open file itself: the name may mean another one by now
            headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"},
            media_type=kind,
            filename=name if kind.startswith(_TO_KEEP) and kind != _JSON else None,
            stat_result=status,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left, whole = self._size_bytes, False

        async def sent(message: Message) -> None:
            nonlocal left, whole
            if message["type"] == "http.response.start":
                whole = message["status"] == 200
            elif whole:  # the file may grow meanwhile, and the answer has said how long it is
                body = message.get("body", b"")[:left]
                left -= len(body)
                message = {**message, "body": body}
            await send(message)

        with self._opened:
            await self._answer(scope, receive, sent)
