"""What a task has done to its process does not reach the tasks of another run in that slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

pytestmark = pytest.mark.usefixtures("patient")

JOB = """
import faulthandler, os, pathlib, resource, shutil, signal, socket, sys, tempfile, time
os.environ["OF_THE_IMPORT"] = "stays"
FOLDER = pathlib.Path(r"{folder}")
NOFILE = resource.RLIMIT_NOFILE
def handler(*_): pass
def setup():
    signal.signal(signal.SIGUSR1, handler)
    (FOLDER / "home").mkdir(exist_ok=True)
    os.chdir(FOLDER / "home")
def gone():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    shutil.rmtree(folder)
def look():
    print("out"); print("err", file=sys.stderr)
    umask = os.umask(0); os.umask(umask)
    return [
        os.getcwd(), dict(os.environ), umask, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        signal.getsignal(signal.SIGUSR1) is handler, signal.getitimer(signal.ITIMER_REAL)[0],
        len(signal.pthread_sigmask(signal.SIG_BLOCK, ())), socket.getdefaulttimeout(),
        sys.stdin.read(), faulthandler.is_enabled(), list(resource.getrlimit(NOFILE)),
        [os.readlink("/proc/self/fd/%d" % fd)[:5] for fd in range(3)],
    ]
def work(deed):
    if deed == "pid": return os.getpid()
    if deed == "look": return look()
    exec(deed, globals())
"""

DEEDS = {
    "another working directory": "os.chdir('/')",
    "a working directory that is deleted": "gone()",
    "an environment that is emptied": "os.environ.clear()",
    "an environment that is another": "os.environ = {}; os.putenv('X', '1')",
    "a variable that is changed": "os.environ.update(PATH='/nowhere', HTTP_PROXY='x')",
    "signal handlers": "[signal.signal(n, signal.SIG_IGN) for n in (10, 11, 14, 15)]",
    "a timer": "signal.signal(14, handler); signal.alarm(600)",
    "signals that are blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [15, 10])",
    "umask": "os.umask(0o777)",
    "the timeout of sockets": "socket.setdefaulttimeout(0.001)",
    "no more descriptors": "resource.setrlimit(NOFILE, (0, resource.getrlimit(NOFILE)[1]))",
    "no faulthandler": "faulthandler.disable()",
    "closed descriptors": "os.closerange(0, 3)",
    "closed streams": "sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
    "streams without a buffer": "sys.stdout.detach()",
    "a file in the place of stdout": "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
    "other streams": "import io; sys.stdout = sys.stderr = sys.__stdout__ = io.StringIO()",
    "no streams": "sys.stdout = sys.stderr = sys.stdin = None",
}


def of_run(lease: Any, run: int) -> Any:
    return msgspec.structs.replace(lease, run=run)


@pytest.mark.parametrize("deed", DEEDS)
def test_the_next_run_finds_the_process_as_it_was(
    jobs: Any, run_worker: Any, tmp_path: Path, deed: str
) -> None:
    """As import and `setup()` left it, in the same process; tasks of the run itself do not."""
    jobs.write(JOB.format(folder=tmp_path))

    async def scenario(rig: Any) -> None:
        first, second = jobs.lease(["pid", "look"]), jobs.lease(["pid", DEEDS[deed]])
        rig.give(of_run(first, 1))
        await rig.until(lambda: len(rig.done) == 2)
        rig.give(of_run(second, 2))
        await rig.until(lambda: (second.number, 1) in rig.done or rig.failed)
        third = jobs.lease(["pid", "look"])
        rig.give(of_run(third, 3))
        await rig.until(lambda: (third.number, 1) in rig.done or rig.failed)
        assert not rig.failed
        assert rig.done[third.number, 1] == rig.done[first.number, 1]
        assert rig.done[third.number, 0] == rig.done[first.number, 0]

    run_worker(scenario)


def test_a_slot_that_cannot_be_put_right_is_replaced(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Here its working directory is one that is gone; no task of the next run is charged."""
    jobs.write(JOB.format(folder=tmp_path))

    async def scenario(rig: Any) -> None:
        first = jobs.lease(["pid", "os.rmdir(os.getcwd()); os.chdir('/')"])
        rig.give(of_run(first, 1))
        await rig.until(lambda: len(rig.done) == 2)
        second = jobs.lease(["pid", "look"])
        rig.give(of_run(second, 2))
        await rig.until(lambda: (second.number, 1) in rig.done or rig.failed)
        assert not rig.failed
        assert rig.done[second.number, 0] != rig.done[first.number, 0]

    run_worker(scenario)


def test_within_a_run_what_a_task_has_made_stays(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    jobs.write(JOB.format(folder=tmp_path))

    async def scenario(rig: Any) -> None:
        first, second = jobs.lease(["os.environ['X'] = 'made'"]), jobs.lease(["look"])
        rig.give(first)
        await rig.until(lambda: rig.done)
        rig.give(second)
        await rig.until(lambda: (second.number, 0) in rig.done)
        assert rig.done[second.number, 0][1]["X"] == "made"

    run_worker(scenario)


def test_another_job_does_not_find_what_this_one_has_set(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Neither at its import; and this one finds it again, behind the other."""
    jobs.write(JOB.format(folder=tmp_path))
    jobs.write(
        "import os\nSEEN = os.environ.pop('OF_THE_IMPORT', None)\n"
        "def work(n): return [SEEN, os.getcwd(), os.environ.get('OF_THE_IMPORT')]\n",
        name="other",
    )

    async def scenario(rig: Any) -> None:
        first, other = jobs.lease(["look"]), jobs.lease([0], job="other")
        rig.give(of_run(first, 1))
        await rig.until(lambda: rig.done)
        rig.give(of_run(other, 2))
        await rig.until(lambda: (other.number, 0) in rig.done)
        assert rig.done[other.number, 0] == [None, str(Path.cwd()), None]
        again = jobs.lease(["look"])
        rig.give(of_run(again, 1))
        await rig.until(lambda: (again.number, 0) in rig.done)
        assert rig.done[again.number, 0] == rig.done[first.number, 0]

    run_worker(scenario)
