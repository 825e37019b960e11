"""Encrypted pages: cookies that never travel in clear, and visitors who never shake hands."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.processes import PATIENCE_S, Master, eventually
from tests.integration.web import Web, certificate

FILES = 256
SILENT = 300
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a handshake of TLS."""


@pytest.fixture
def web(start_master: Callable[..., Master], tmp_path: Path) -> Web:
    """A master with encrypted pages."""
    return Web(start_master(MASTER_HTTP_PORT="0", **certificate(tmp_path)))


def test_a_cookie_of_encrypted_pages_never_travels_in_clear(web: Web) -> None:
    assert web.link.startswith("https://")
    answer = web.get(f"/?token={web.act}", token="")
    assert answer.headers["Set-Cookie"].endswith("; Secure")
    page = web.page("/")
    assert "Quartermaster" in page
    assert web.json("/api/overview")["status"]["version"]


def test_visitors_who_never_shake_hands_keep_nobody_out(web: Web) -> None:
    """More of them than the process may open files."""
    (first,) = web.pids()
    limits = (FILES, FILES)
    resource.prlimit(web.master.process.popen.pid, resource.RLIMIT_NOFILE, limits)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: web.pids() not in ([], [first]), what="a web process with few files")
    assert web.get("/healthz", token="").code == 200
    with contextlib.ExitStack() as stack:
        silent = []
        for number in range(SILENT):
            sock = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_S)
            stack.enter_context(contextlib.closing(sock))
            if number % 2:
                sock.sendall(HELLO)
            silent.append(sock)
        began = time.monotonic()
        for _ in range(5):
            assert web.get("/healthz", token="").code == 200
        assert time.monotonic() - began < 8, "before the time of those who are silent is over"
        for sock in silent:
            with contextlib.suppress(ConnectionResetError):  # half a handshake was not read
                assert sock.recv(100) == b""
    assert not web.master.process.lines("Traceback|no more connections")


def test_files_that_are_no_certificate_are_one_line(
    start_master: Callable[..., Master], tmp_path: Path
) -> None:
    made = certificate(tmp_path)
    Path(made["HTTP_TLS_KEY"]).write_text("nothing")
    master = start_master(MASTER_HTTP_PORT="0", **made)
    line = master.process.says("no pages: HTTP_TLS_CERT=")
    assert made["HTTP_TLS_KEY"] in line
    assert master.status()
    assert not master.process.lines("Traceback")
