"""Another user of the machine of the master: what it can read, reach and take over.

The folder of these tests is open to everybody, unlike that of pytest, so that only the master's own
care is in the way.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import KEY, PATIENCE_S, Master, eventually
from tests.integration.stock import SYSTEM_PYTHON
from tests.integration.web import Web

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

OTHER = 54_321
"""A user without a name, a home or a group of the master's."""

READS = """
import sys
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            print(path, file.read(1_000_000))
    except OSError as error:
        print(path, "-", error.strerror)
"""
ASKS = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    method, url = url.split(" ", 1)
    asked = urllib.request.Request(url, method=method, data=b"{}" if method == "POST" else None)
    asked.add_header("Content-Type", "application/json")
    try:
        answer = urllib.request.urlopen(asked, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    print(answer.status, url, answer.read(100_000))
"""
BINDS = """
import select, socket, sys
port, got, tried = int(sys.argv[1]), [], 0
print("begins", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for host in ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as sock:
                if option is not None:
                    sock.setsockopt(socket.SOL_SOCKET, option, 1)
                if host == "::":
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                try:
                    sock.bind((host, port))
                    sock.listen()
                    got.append((host, option))
                except OSError:
                    tried += 1
print(tried, got)
"""
SWAPS = """
import os, select, sys
folder, aim = sys.argv[1:]
os.chdir(folder)
os.mkdir("mine")
with open("mine/act", "w") as file:
    file.write("mine")
os.symlink(aim, "theirs")
print("begins", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for one in ("mine", "theirs"):
        os.rename(one, "swapped")
        os.rename("swapped", one)
"""
PLANTS = """
import os, sys
folder, aim = sys.argv[1:]
os.mkdir(folder)
os.chdir(folder)
os.symlink(aim, "act")
os.symlink(os.path.dirname(aim), "web")
os.symlink("/", "root")
os.mkfifo("pipe")
with open("index.html", "w") as file:
    file.write("<title>mine</title>")
try:
    os.link(aim, "hard")
except OSError as error:
    print(error.strerror)
"""


def other(code: str, *words: str) -> str:
    """What a program of the other user prints."""
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-c", code, *words],
        user=OTHER, group=OTHER, extra_groups=[], cwd="/", timeout=PATIENCE_S,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def meanwhile(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A program of the other user, from its first line until it is asked to end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", code, *words],
        user=OTHER, group=OTHER, extra_groups=[], cwd="/", text=True, **pipes,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder of the files of runs, in which everybody may write."""
    folder = Path(tempfile.mkdtemp(prefix="qm-other-"))
    folder.chmod(0o755)
    made = folder / "shared"
    made.mkdir()
    made.chmod(0o1777)
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def web(shared: Path) -> Iterator[Web]:
    """A master that was started with an umask which hides nothing."""
    started: list[object] = []
    before = os.umask(0)
    try:
        master = Master(shared.parent, started, MASTER_HTTP_PORT="0", HTTP_FILES=str(shared))
        made = Web(master)
        made.json("/api/overview")
        os.umask(before)
        yield made
    finally:
        os.umask(before)
        for process in reversed(started):
            process.end()  # type: ignore[attr-defined]


@pytest.fixture
def secrets(web: Web) -> list[str]:
    return [web.read, web.act, KEY]


def test_the_other_user_can_read_what_is_for_everybody(web: Web) -> None:
    """Without this the tests below would say nothing."""
    job = web.master.jobs / "square.py"
    assert "def work" in other(READS, str(job))
    (pid,) = web.pids()
    assert "master.web" in other(READS, f"/proc/{pid}/cmdline")


def test_no_file_of_the_master_tells_it_a_secret(web: Web, secrets: list[str]) -> None:
    data = Path(web.master.settings["MASTER_DATA"])
    files = [str(path) for path in data.rglob("*") if path.is_file()]
    assert any(path.endswith("/web/act") for path in files)
    told = other(READS, *files)
    assert [one for one in secrets if one in told] == []
    for name in ("act", "read", "ended", "address"):
        path = data / "web" / name
        if path.exists():
            assert f"{path} - Permission denied" in told


def test_no_process_tells_it_a_secret(web: Web, secrets: list[str]) -> None:
    for pid in (web.master.process.popen.pid, *web.pids()):
        names = ("environ", "cmdline", "maps", "status", "stat", "fd/0", "fd/3", "auxv", "stack")
        told = other(READS, *(f"/proc/{pid}/{name}" for name in names))
        assert f"/proc/{pid}/environ - Permission denied" in told
        assert f"/proc/{pid}/fd/0 - Permission denied" in told
        assert [one for one in secrets if one in told] == []


def test_without_a_token_loopback_gives_it_nothing(web: Web, secrets: list[str]) -> None:
    run = web.master.submit("given", "count=12345")
    asked = [
        f"{method} {web.address}{path}"
        for method, path in [
            ("GET", "/"), ("GET", f"/runs/{run}"), ("GET", f"/api/runs/{run}"), ("GET", "/metrics"),
            ("GET", f"/events?page=/runs/{run}"), ("GET", "/files/evil/act"), ("GET", "/folders/"),
            ("GET", "/?token=guess"), ("POST", f"/api/runs/{run}/cancel"), ("POST", "/logout"),
            ("POST", f"/runs/{run}/cancel"), ("POST", "/api/submit/square"),
        ]
    ]  # fmt: skip
    told = other(ASKS, *asked)
    assert re.findall(r"^(\d+) ", told, re.MULTILINE) == [
        *["401"] * 9, "403", "403", "401",
    ]  # fmt: skip
    assert "12345" not in told
    assert [one for one in secrets if one in told] == []
    assert web.json(f"/api/runs/{run}")["run"]["state"] == "active"


def test_it_can_not_take_the_port_while_the_web_process_starts_again(web: Web) -> None:
    with meanwhile(BINDS, str(web.port)) as process:
        for _ in range(3):
            (pid,) = web.pids()
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: web.pids() not in ([], [pid]), what="another web process")
            assert web.json("/api/overview")["status"]["version"]
        out, _ = process.communicate("end\n", PATIENCE_S)
    tried, _, got = out.strip().partition(" ")
    assert int(tried) > 100
    assert got == "[]"


def test_links_of_its_own_lead_a_visitor_to_nothing_of_the_master(
    web: Web, shared: Path, secrets: list[str]
) -> None:
    act = str(Path(web.master.settings["MASTER_DATA"]).resolve() / "web" / "act")
    assert other(PLANTS, str(shared / "evil"), act) == "Permission denied\n"
    cookie = web.cookie(web.read)
    for path in ("act", "web/act", "web/", f"root{act}", "pipe", "hard"):
        answer = web.get(f"/files/evil/{path}", token="", Cookie=cookie)
        assert answer.code == 404, path
    assert web.get("/files/evil/index.html", token="", Cookie=cookie).code == 200
    listed = web.json("/api/folders/evil")["entries"]
    assert [one["name"] for one in listed] == ["index.html"]
    assert web.get("/api/folders/evil/web").code == 404
    run = web.master.submit("given", f"out={shared}/evil/web")
    assert web.json(f"/api/runs/{run}")["written"] is None
    page = web.page(f"/runs/{run}") + web.page("/folders/evil")
    assert [one for one in secrets if one in page] == []


def test_a_folder_that_becomes_a_link_meanwhile_gives_nothing_of_the_master(
    web: Web, shared: Path
) -> None:
    other("import os, sys; os.mkdir(sys.argv[1])", str(shared / "swap"))
    tokens = Path(web.master.settings["MASTER_DATA"]).resolve() / "web"
    cookie = web.cookie(web.read)
    with meanwhile(SWAPS, str(shared / "swap"), str(tokens)):
        got = {
            web.get("/files/swap/swapped/act", token="", Cookie=cookie).text.strip()[:40]
            for _ in range(300)
        }
    assert "mine" in got, "the link was not there at the right time"
    assert web.act not in got
    assert web.read not in got
