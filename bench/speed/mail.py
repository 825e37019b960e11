"""Mail to a server that answers at once: messages a second of one worker, plain and signed.

The server is in a process of its own and keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from ..brief import sized
from ..figure import Figure
from ..rig import processes, run
from ..rig.session import run_status

MESSAGES, ROUNDS = sized(2_000, 20), sized(3, 1)
AT_LEAST = 100.0


def measure() -> list[Figure]:
    """Measure plain and signed messages in turns."""
    jobs = processes.ROOT / "jobs"
    rates: dict[bool, list[float]] = {False: [], True: []}
    with (
        processes.scratch() as folder,
        _server() as port,
        processes.master(folder, jobs=jobs) as (_, queue),
        processes.worker(folder, queue, jobs=jobs),
    ):
        words = _words(folder, port)
        for number in range(ROUNDS):
            for signed in rates:
                rates[signed].append(_rate(queue, folder, number, signed, words))
    plain, with_dkim = (tuple(rates[signed]) for signed in (False, True))
    return [
        Figure("mail, one worker with two slots", "messages/s", plain, at_least=AT_LEAST),
        Figure("mail, the same with DKIM (RSA, 2048 bits)", "messages/s", with_dkim),
    ]


def _words(folder: Path, port: int) -> list[str]:
    given = folder / "list.csv"
    lines = [f"reader{n}@d{n % 40}.example.org,Reader {n}" for n in range(MESSAGES)]
    given.write_text("email,name\n" + "\n".join(lines) + "\n")
    page = folder / "letter.html"
    page.write_text("<h1>Hello {{ name }}</h1><p>Spring is <b>here</b>.</p>" + "<p>Words.</p>" * 20)
    key = ["openssl", "genrsa", "-out", str(folder / "key.pem"), "2048"]
    subprocess.run(key, check=True, capture_output=True)
    words = [f"recipients={given}", f"template={page}", "sender=news@example.org", "tls=off"]
    return [*words, f"server=127.0.0.1:{port}", "subject=Hello {{ name }}", "at_once=32"]


def _rate(queue: int, folder: Path, number: int, signed: bool, words: list[str]) -> float:
    name = f"campaign-{number}-{signed}"
    words = ["mail", *words, f"campaign={name}", f"out={folder / 'out' / name}"]
    words += [f"dkim_key={folder / 'key.pem'}"] if signed else []
    began = time.monotonic()
    asked = run.start(queue, words)

    def ended() -> bool:
        status = asyncio.run(run_status(queue, asked))
        if status.dead:
            raise RuntimeError(f"{status.dead} messages were not sent")
        return status.done >= MESSAGES

    processes.wait_until(ended, f"{MESSAGES} messages")
    return MESSAGES / (time.monotonic() - began)


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """The port of a server that takes everything."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    up, over = context.Event(), context.Event()
    process = context.Process(target=_serve, args=(port, up, over), daemon=True)
    process.start()
    try:
        if not up.wait(60.0):
            raise RuntimeError("the mail server did not start")
        yield port
    finally:
        over.set()
        process.join(10.0)


class _Taker:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 2.0.0 taken"


def _serve(port: int, up: Event, over: Event) -> None:
    from aiosmtpd.controller import Controller

    controller = Controller(_Taker(), hostname="127.0.0.1", port=port)
    controller.start()
    up.set()
    over.wait()
    controller.stop()
