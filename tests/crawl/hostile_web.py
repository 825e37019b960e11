"""A web server of the tests', on loopback, in a thread: it does what it is told and keeps account.

It answers as sites do (validators, redirects, robots.txt), and as no site should.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request. started_at, ended_at: monotonic seconds; it has not ended while that is None."""

    path: str
    host: str
    headers: dict[str, str]
    started_at: float
    ended_at: float | None = None
    status: int = 0


@dataclass
class Site:
    """What is there. Paths that are in none of these are 404."""

    bodies: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)


class Web:
    """The server. `with Web() as web: web.page("/", '<img src="/a.png">')`."""

    def __init__(self) -> None:
        self.site = Site()
        self.asked: list[Asked] = []
        self.takes_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: asyncio.Event = asyncio.Event()
        self._open.set()
        self._free = -1
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started: Future[None] = Future()

    def __enter__(self) -> Web:
        self._thread.start()
        self._started.result(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    # --- what is there ---

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, body: bytes, kind: str, **headers: str) -> None:
        """A body, with an ETag and a date of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.site.bodies[path] = body, {"Content-Type": kind, "ETag": tag, **named}

    def page(self, path: str, html: str, **headers: str) -> None:
        """A page of HTML."""
        self.put(path, html.encode(), "text/html; charset=utf-8", **headers)

    def pages(self, count: int, *, pictures: int = 1, start: str = "/") -> set[str]:
        """So many pages behind a start that links to all; each shows so many pictures.

        Returns all paths.
        """
        names = [f"/p{number}.html" for number in range(count)]
        self.page(start, "".join(f'<a href="{name}">' for name in names))
        paths = {start, *names}
        for number, name in enumerate(names):
            shown = [f"/i{number}-{which}.png" for which in range(pictures)]
            for place in shown:
                self.picture(place)
            self.page(name, "".join(f'<img src="{place}">' for place in shown))
            paths |= set(shown)
        return paths

    def picture(self, path: str, form: str = "PNG", seed: str = "", **headers: str) -> bytes:
        """A picture that is unlike those of other paths, or of another seed; returns its body."""
        body = picture(form, seed or path)
        self.put(path, body, f"image/{form.lower()}", **headers)
        return body

    def robots(self, text: str) -> None:
        """robots.txt."""
        self.put("/robots.txt", text.encode(), "text/plain")

    def redirect(self, path: str, target: str) -> None:
        """A redirect, 302."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": target})

        self.site.handlers[path] = answer

    def handle(self, path: str, handler: Handler) -> None:
        """What no other method does."""
        self.site.handlers[path] = handler

    # --- when it answers ---

    def hold_after(self, count: int) -> None:
        """Answer so many more requests, and let all others wait until `release`."""
        self._call(self._hold, count)

    def release(self) -> None:
        """Answer those that wait, and all others."""
        self._call(self._release)

    def _hold(self, count: int) -> None:
        self._free = count
        self._open.clear()

    def _release(self) -> None:
        self._free = -1
        self._open.set()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        done: Future[None] = Future()

        def run() -> None:
            function(*arguments)
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(10.0)

    # --- what it was asked ---

    def paths(self) -> list[str]:
        """The paths that were asked for, but robots.txt."""
        return [one.path for one in self.asked if one.path != "/robots.txt"]

    def starts(self, *, but: str = "/robots.txt") -> list[float]:
        """When requests came, in order."""
        return sorted(one.started_at for one in self.asked if one.path != but)

    def most_at_once(self) -> int:
        """How many requests it had at a time."""
        now = time.monotonic()
        marks = [(one.started_at, 1) for one in self.asked]
        marks += [(now if one.ended_at is None else one.ended_at, -1) for one in self.asked]
        running = most = 0
        for _, step in sorted(marks):
            running += step
            most = max(most, running)
        return most

    # --- the server ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _serve(self) -> None:
        server = web.Server(self._answer)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._started.set_result(None)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(
            request.path_qs, request.headers["Host"], dict(request.headers), time.monotonic()
        )
        self.asked.append(asked)
        try:
            if not self._open.is_set():
                if self._free <= 0:
                    await self._open.wait()
                self._free -= 1
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
            response = await self._response(request)  # type: ignore[arg-type]
            asked.status = response.status
            return response
        finally:
            asked.ended_at = time.monotonic()

    async def _response(self, request: web.Request) -> web.StreamResponse:
        handler = self.site.handlers.get(request.path) or self.site.handlers.get("*")
        if handler is not None and request.path not in self.site.bodies:
            return await handler(request)
        if request.path not in self.site.bodies:
            return web.Response(status=404, text="not here")
        body, headers = self.site.bodies[request.path]
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers={"ETag": headers["ETag"]})
        return web.Response(body=body, headers=headers)


def picture(form: str, seed: str) -> bytes:
    """A small picture, other for each seed."""
    shades = hashlib.sha256(seed.encode()).digest()
    body = io.BytesIO()
    Image.frombytes("L", (8, 4), shades).save(body, form)
    return body.getvalue()
