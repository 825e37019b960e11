"""Keeps the web process, which shows the pages: a child of the master and a client of it.

The queue never waits for that process. If it dies, it is started again after a pause that doubles.
This process listens for it, so the port stays while it is started again. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from queue_manager.errors import SettingsError
from queue_manager.lifeline import die_with, without_key
from queue_manager.settings import Settings, pages_reached_by

from ..turn.answer import log_failure
from .runner import how_it_ended
from .web_access import Tokens, ended_path, forget_address, link_of, make_tokens, note_address

log = logging.getLogger("quartermaster.master")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_LASTED_S = 60.0
"""After a life of at least this length the pauses begin with the first one again."""

_STOP_S = 2.0
_BACKLOG = 128
_MODULES = ("starlette", "uvicorn", "sse_starlette", "python_multipart", "jinja2", "babel")


class WebProcess:
    """The web process of a master. `start` in a running loop, then `stop`.

    reach: the variables by which a child reaches the master, its key among them. keys_told: the
    keys that are made of the authkey (`handshake.told`), or empty. wall: the master's time, UTC
    epoch in seconds, counted on by the monotonic clock.
    """

    def __init__(
        self,
        settings: Settings,
        reach: Mapping[str, str],
        keys_told: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._wall = settings, wall
        self._environment = without_key({**os.environ, **reach})
        self._authkey, self._keys_told = reach["QUEUE_AUTHKEY"], keys_told
        self._socket: socket.socket | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    def start(self) -> None:
        """Serve the pages from now on. If that can't be, one line of the log says why."""
        if self._settings.master_http_port is None:
            return
        try:
            check_may_serve(self._settings)
            tokens = make_tokens(self._settings)
            self._socket = listen_for_pages(self._settings)
        except SettingsError as error:
            log.warning("no pages: %s. The queue goes on", error)
            return
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._settings.http_tls_cert else "http"
        self.address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        note_address(self._settings, self.address)
        self._keeping = asyncio.get_running_loop().create_task(self._keep(tokens))
        self._keeping.add_done_callback(log_failure)
        log.info("pages: %s", self._where())

    async def stop(self) -> None:
        """End it."""
        if self._keeping is not None:
            forget_address(self._settings)
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._socket is not None:
            self._socket.close()

    def _where(self) -> str:
        """The link, as far as it is known here: compose may have published any port."""
        published = self._settings.http_publish
        if not self._settings.http_publish_known:
            return link_of(self._settings)
        if published and published.rpartition(":")[2]:
            place = published if ":" in published else f":{published}"
            return link_of(self._settings, at=place)
        return "`make dashboard` prints the link to them"

    # --- the process ---

    async def _keep(self, tokens: Tokens) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                since = time.monotonic()
                how = await self._live(tokens)
                if time.monotonic() - since >= _LASTED_S:
                    pause_s = _FIRST_PAUSE_S
                log.warning("the web process %s; it starts again in %.1f s", how, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            await self._end()

    async def _live(self, tokens: Tokens) -> str:
        """Run the process to its end. Returns how it has ended."""
        assert self._socket is not None  # `start` has made it
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "master.web",
                stdin=asyncio.subprocess.PIPE,
                env=self._environment,
                pass_fds=(self._socket.fileno(),),
                start_new_session=True,  # Ctrl-C is the master's to handle
                preexec_fn=partial(die_with, os.getpid()),
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"can't be started: {error}"
        assert process.stdin is not None  # a pipe was asked for
        process.stdin.write(self._told(tokens))
        process.stdin.close()
        return how_it_ended(await process.wait())

    def _told(self, tokens: Tokens) -> bytes:
        """What the process must know and nobody may read in its environment."""
        assert self._socket is not None  # `start` has made it
        told = {"socket": self._socket.fileno(), "authkey": self._authkey, **asdict(tokens)}
        told |= {"keys_told": self._keys_told, "ended": str(ended_path(self._settings))}
        told["wall_behind"] = self._wall() - time.monotonic()  # that clock is the whole machine's
        return json.dumps(told).encode()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a stopped one would not hear of it
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_S)
            if process.returncode is None:
                process.kill()
        await process.wait()


def check_may_serve(settings: Settings) -> None:
    """Look whether pages can and may be served.

    Raises:
        SettingsError: a library is not here, or strangers could read along on the way.
    """
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"{missing[0]} is not installed: pip install 'quartermaster-queue[web]', or set"
            " MASTER_HTTP_PORT=off"
        )
    cert, key = settings.http_tls_cert, settings.http_tls_key
    if (cert is None) != (key is None):
        raise SettingsError("HTTP_TLS_CERT and HTTP_TLS_KEY: one of them is not set")
    for name, path in (("HTTP_TLS_CERT", cert), ("HTTP_TLS_KEY", key)):
        if path is not None and not os.access(path, os.R_OK):
            raise SettingsError(f"{name}={path}: the file can't be read")
    reached_by = pages_reached_by(settings)
    if reached_by and cert is None and not settings.http_plain:
        raise SettingsError(
            f"other machines reach them by {reached_by}, and nothing encrypts: set HTTP_TLS_CERT"
            " and HTTP_TLS_KEY, or HTTP_PLAIN=1 behind a proxy that encrypts"
        )


def listen_for_pages(settings: Settings) -> socket.socket:
    """A socket that listens on HTTP_BIND. Without MASTER_HTTP_PORT it may have any port."""
    host, port = settings.http_bind, settings.master_http_port or 0
    try:
        try:
            return _bound(host, port)
        except OSError:
            if settings.master_http_port_set or settings.http_publish_known:
                raise
            return _bound(host, 0)
    except OSError as error:
        raise SettingsError(
            f"HTTP_BIND={host}, MASTER_HTTP_PORT={port}: can't listen there:"
            f" {error.strerror or error}"
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
