"""The pages as an attacker would try them: other sites, other users, readers that do not read."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest

from tests.integration.processes import PATIENCE_S, Master, eventually
from tests.integration.web import Web

STREAMS = 1_000
MEMORY_BYTES = 60 * 1024 * 1024
STREAM_BYTES = 100 * 1024


@pytest.fixture(scope="module")
def module_started() -> Iterator[list[object]]:
    processes: list[object] = []
    yield processes
    for process in reversed(processes):
        process.end()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, module_started: list[object]) -> Web:
    """One master with pages for all these tests; none of them ends it."""
    folder = tmp_path_factory.mktemp("web")
    return Web(Master(folder, module_started, MASTER_HTTP_PORT="0"))


@pytest.fixture
def cookie(web: Web) -> str:
    """That of a browser which may act."""
    return web.cookie(web.act)


def test_the_web_process_is_small(web: Web) -> None:
    web.json("/api/overview")
    (pid,) = web.pids()
    assert memory_bytes(pid) < MEMORY_BYTES


def test_every_answer_has_the_headers_that_protect_it(web: Web, cookie: str) -> None:
    for path in ("/", "/login", "/static/live.js", "/nowhere", "/healthz", "/api/overview"):
        headers = web.get(path, token="", Cookie=cookie).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'; base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers


def test_no_page_has_a_script_or_a_style_of_its_own(web: Web, cookie: str) -> None:
    for path in ("/", "/runs", "/login"):
        text = web.get(path, token="", Cookie=cookie).text
        assert re.findall(r"<script(?! src=\"/static/)", text) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []


def post(web: Web, path: str, cookie: str, body: str = "", **headers: str) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, **headers}
    return web.ask("POST", path, body.encode(), **headers).code


def test_a_form_of_another_site_changes_nothing(web: Web, cookie: str) -> None:
    own = f"http://127.0.0.1:{web.port}"
    assert post(web, "/logout", cookie) == 403
    assert post(web, "/logout", cookie, Origin="https://evil.example") == 403
    assert post(web, "/logout", cookie, Origin="null") == 403
    assert post(web, "/logout", cookie, Origin=own, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post(web, "/logout", cookie, "form_key=guess", Origin=own) == 403
    page = web.get("/", token="", Cookie=cookie).text
    key = re.search(r'name="form_key" value="(\w+)"', page)
    assert key is not None
    other = web.cookie(web.read)
    assert post(web, "/logout", other, f"form_key={key[1]}", Origin=own) == 403
    assert post(web, "/logout", cookie, f"form_key={key[1]}", Origin=own) == 303
    assert web.get("/api/runs", token="", Cookie=cookie).code == 401, "a copy opens nothing"
    assert web.get("/api/runs", token="", Cookie=other).code == 200


def test_another_name_for_our_address_has_no_pages(web: Web, cookie: str) -> None:
    for name in ("evil.example", f"evil.example:{web.port}", "127.0.0.1.evil.example"):
        assert web.get("/", token="", Cookie=cookie, Host=name).code == 421
        assert web.get(f"/?token={web.act}", token="", Host=name).code == 421
    assert web.get("/", token="", Cookie=cookie, Host="localhost").code == 200
    assert web.get("/healthz", token="", Host="evil.example").code == 200
    assert web.get("/api/overview", Host="master:8080").code == 200  # a program with the token


def test_a_token_leads_to_no_other_site(web: Web) -> None:
    for path in (
        "//evil.example/",
        "/\\evil.example/",
        "/%2F/evil.example",
        "//evil.example/%2e%2e",
    ):
        answer = web.get(f"{path}?token={web.read}", token="")
        found = re.search(r'url=([^"]*)', answer.text)
        to = answer.headers.get("Location", found[1] if found else "")
        assert not re.match(r"(//|/\\|\w+:)", to), (path, to)
    body = f"token={web.read}&to=//evil.example"
    own = {"Content-Type": "application/x-www-form-urlencoded",
           "Origin": f"http://127.0.0.1:{web.port}"}  # fmt: skip
    answer = web.ask("POST", "/login", body.encode(), **own)
    assert (answer.code, answer.headers["Location"]) == (303, "/evil.example")


def test_a_token_stands_in_no_page_log_or_later_address(web: Web) -> None:
    page = web.get(f"/runs?token={web.act}&state=done", token="")
    assert 'content="0; url=/runs?state=done"' in page.text
    assert web.act not in page.text
    wrong = web.get("/runs?token=something-secret&state=done", token="")
    assert wrong.code == 401
    assert "something-secret" not in wrong.text
    told = [line for line in web.master.process.log.splitlines() if "pages: " not in line]
    assert not any(web.act in line or "something-secret" in line for line in told)


def test_a_body_or_a_header_without_end_is_refused(web: Web, cookie: str) -> None:
    own = {"Origin": f"http://127.0.0.1:{web.port}"}
    assert post(web, "/login", cookie, "token=" + "x" * 1_100_000, **own) == 413
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=" + b"x" * 40_000)
        assert b" 400 " in _read_to_its_end(sock).partition(b"\r\n")[0]
    assert _code_of_a_header(web, 5_000_000) in (400, None)
    assert web.get("/healthz", token="").code == 200


def _code_of_a_header(web: Web, size_bytes: int) -> int | None:
    """The code of the answer; None: the connection was ended while the header was on its way."""
    try:
        return web.get("/", token="", Cookie="a=" + "x" * size_bytes).code
    except (ConnectionResetError, BrokenPipeError):
        return None


def test_nonsense_in_an_address_is_a_page_and_no_fault(web: Web) -> None:
    before = web.master.process.log.count("Traceback")
    for path in (
        "/runs/99999999999999999999999999", "/runs?after=x", "/runs?state=%00", "/runs?job=%ff%fe",
        "/?span=forever", "/events?page=http://[", "/events?page=/nowhere", "/runs/-1",
        "/runs?after=99999999999999999999999999",
    ):  # fmt: skip
        answer = web.get(f"/api{path}") if path.startswith("/runs") else web.get(path, token="")
        assert answer.code in (200, 400, 401, 404), (path, answer)
        answer = web.get(path, token="", Cookie=web.cookie(web.read))
        assert answer.code in (200, 400, 404), (path, answer)
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        answer = web.get(path, token="", Cookie=web.cookie(web.read))
        assert answer.code == 404, (path, answer)
        assert "make_app" not in answer.text
    answer = web.get("/runs/0/failures?since=2026", token="", Cookie=web.cookie(web.read))
    assert (answer.code, answer.text.count("is no time")) == (200, 1)
    assert 'id="wrong-since"' in answer.text
    assert web.master.process.log.count("Traceback") == before


def test_the_queue_run_has_a_page_of_bounded_size(web: Web, cookie: str) -> None:
    (before,) = web.pids()
    for path in ("/runs/0", "/api/runs/0", "/runs/0?span=whole", "/runs/0?span=month"):
        answer = web.get(path, token="", Cookie=cookie)
        assert answer.code == 200, path
        assert len(answer.text) < 300_000, path
    assert "1970" not in web.get("/runs/0", token="", Cookie=cookie).text
    assert web.pids() == [before]


def test_a_request_that_is_never_whole_ends_soon_and_is_no_line_of_the_log(
    web: Web, cookie: str
) -> None:
    lines = len(web.master.process.log.splitlines())
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    form = f"Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{web.port}\r\n".encode()
    kind = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
    halves = {
        "nothing": b"",
        "half a header": head + b"X: ",
        "half a second header": head + b"\r\n" + head + b"X: ",
        "half a form": head.replace(b"GET /healthz", b"POST /logout") + form + kind + b"x=1",
    }
    with contextlib.ExitStack() as stack:
        opened = {}
        for name, half in halves.items():
            sock = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_S)
            stack.enter_context(contextlib.closing(sock))
            sock.sendall(half)
            opened[name] = sock
        for name, sock in opened.items():
            assert _read_to_its_end(sock).count(b" 200 ") == (name == "half a second header"), name
    assert len(web.master.process.log.splitlines()) == lines


def _read_to_its_end(sock: socket.socket) -> bytes:
    """What comes until the other side ends the connection."""
    read = b""
    while part := sock.recv(65536):
        read += part
    return read


class Reader:
    """A browser that looks at a page, as far as the test reads."""

    def __init__(self, web: Web, cookie: str, page: str = "/", buffer: int = 0) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", web.port))
        head = f"GET /events?page={page} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n"
        self.socket.sendall(head.encode())
        self.read = b""

    def until(self, words: bytes) -> bytes:
        """Read until these words have come."""
        while words not in self.read:
            part = self.socket.recv(65536)
            assert part, self.read[-500:]
            self.read += part
        return self.read


@contextlib.contextmanager
def readers(web: Web, cookie: str, count: int) -> Iterator[list[Reader]]:
    opened: list[Reader] = []
    try:
        opened += [Reader(web, cookie) for _ in range(count)]
        yield opened
    finally:
        for reader in opened:
            reader.socket.close()


def memory_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024  # type: ignore[index]


def test_a_thousand_streams_are_served_in_bounded_memory_and_beyond_is_one_line(
    web: Web, cookie: str
) -> None:
    (pid,) = web.pids()
    with readers(web, cookie, STREAMS) as opened:
        for reader in opened:
            reader.until(b"event: parts")
        assert memory_bytes(pid) < MEMORY_BYTES + STREAMS * STREAM_BYTES
        assert web.get("/healthz", token="").code == 200
        with readers(web, cookie, 300) as more:
            refused = [reader for reader in more if b" 503 " in reader.until(b"\r\n")]
            assert refused
            assert b"too many pages are open" in refused[0].until(b"changes")
    eventually(lambda: b" 200 " in Reader(web, cookie).until(b"\r\n"), what="room again")
    assert web.master.status()


def test_a_reader_that_does_not_read_is_dropped(web: Web, cookie: str) -> None:
    slow = Reader(web, cookie, buffer=1024)
    with contextlib.closing(slow.socket):
        assert not _is_closed(slow, web)  # the kernel's table has it
        eventually(lambda: _is_closed(slow, web), what="the end of a reader that does not read")
    assert "Traceback" not in web.master.process.log


def _is_closed(slow: Reader, web: Web) -> bool:
    """Whether the web process has let the connection go, as the kernel's table says."""
    port = slow.socket.getsockname()[1]
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    mine = f":{web.port:04X}", f":{port:04X}"
    state = [row[3] for row in rows if row[1].endswith(mine[0]) and row[2].endswith(mine[1])]
    return state != ["01"]  # ESTABLISHED
