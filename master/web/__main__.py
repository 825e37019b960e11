"""`python -m master.web`: the web process, which the master starts and keeps.

What nobody may read in its environment comes on its standard input. It has less of the processor
than the queue, whatever comes by HTTP.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from queue_manager.log_lines import log_to
from queue_manager.settings import Settings, load_settings
from queue_manager.wire import handshake

from .access.ended import Ended
from .access.tokens import Tokens
from .app import make_app
from .handshakes import Handshakes, context_of
from .link.master import Master
from .visits import Crowd

_NICE = 10
_FILES = 4_096
_AT_ONCE = 128
"""How many connections are accepted before one of them is looked at."""

_BATCHES = 16
"""So many times that go into the files of the process: a batch is here before room is made."""

_KEEP_ALIVE_S = 15
_END_S = 1
_UNREAD_MS = 10_000
"""How long the kernel waits for a reader that takes nothing of what was sent to it."""

_HEADER_BYTES = 16 * 1024


def main() -> None:
    """Serve the pages until SIGTERM."""
    told = json.loads(sys.stdin.buffer.read() or b"{}")
    if not told:
        sys.exit("the master starts this process, and tells it what it must know")
    log_to(logging.StreamHandler())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    os.nice(_NICE)
    files = _make_room()
    crowd = Crowd(files * 3 // 4)
    settings = load_settings()
    authkey = told["authkey"].encode("utf-8", "surrogateescape")
    if told["keys_told"]:
        handshake.learn(authkey, told["keys_told"])
    tokens, ended = Tokens(told["read"], told["act"]), Ended(Path(told["ended"]))
    now = partial(_now, told["wall_behind"])
    app = make_app(settings, Master(settings, authkey, now), tokens, ended, now)
    sock = socket.socket(fileno=told["socket"])
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
    at_once = min(_AT_ONCE, files // _BATCHES)
    uvicorn.Server(_config(app, _maker(settings, crowd), at_once)).run(sockets=[sock])


def _now(wall_behind: float) -> float:
    """The master's time: as the machine's clock was at its start, and counted on from there.

    So all pages and the master mean the same by a time, and setting the clock ends no cookie.
    """
    return time.monotonic() + wall_behind


def _maker(settings: Settings, crowd: Crowd) -> Callable[..., asyncio.Protocol]:
    """What makes connections. It encrypts them by itself: uvicorn would count no handshakes."""
    certificate, key = settings.http_tls_cert, settings.http_tls_key
    if certificate is None or key is None:
        return crowd.make
    try:
        return Handshakes(crowd, context_of(certificate, key)).make
    except OSError as error:
        sys.exit(f"no pages: HTTP_TLS_CERT={certificate}, HTTP_TLS_KEY={key}: {error}")


def _config(app: Any, make: Callable[..., asyncio.Protocol], at_once: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast(Any, make),  # a class, or what makes its objects
        backlog=at_once,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # the link has the token in it
        server_header=False,
        proxy_headers=False,  # `Proxied` reads them, where a proxy is told of
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_END_S,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )


def _make_room() -> int:
    """Let this process open a file for each of a thousand visitors. Returns how many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


if __name__ == "__main__":
    main()
