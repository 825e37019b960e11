"""Environments of one host: made once by many, remembered when they fail, removed when unused."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from queue_manager.environments import ageing, failures, layout, locks, making, recipe, sync
from queue_manager.environments.environments import DAY_S, Environments
from queue_manager.environments.recipe import hash_of
from queue_manager.environments.uv import trouble
from queue_manager.errors import BrokenEnvironmentError, NoEnvironmentError
from queue_manager.job.needs import Needs
from tests.wheels import make_wheel, offline

DEADLINE_S = 60.0

UNREACHABLE = """\
Using Python 3.13.1 environment at: a
error: Request failed after 3 retries in 8.2s
  cause: Failed to fetch: https://me:secret@index.test/simple/rich/
  cause: dns error
"""
UNSOLVABLE = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of rich==99 and you require rich==99, we can conclude that ...
"""


@pytest.fixture
def wheels(tmp_path: Path) -> Mapping[str, str]:
    """The variables by which uv finds two versions of a library."""
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "wheels", "qmlib", version)
    make_wheel(tmp_path / "wheels", "msgspec", "0.1")
    make_wheel(tmp_path / "wheels", "qmold", "1.0", needs=["msgspec==0.1"])
    return {**os.environ, **offline(tmp_path / "wheels")}


def said_by(folder: str, code: str) -> str:
    """What the interpreter of an environment prints."""
    words = [str(layout.python_of(folder)), "-c", code]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_an_environment_has_its_own_packages_first_and_the_worker_s_behind(
    tmp_path: Path, wheels: Mapping[str, str]
) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages/qmlib.py").write_text("__version__ = 'of the worker'")
    (tmp_path / "site-packages/qmshared.py").write_text("")
    entry = str(tmp_path / "site-packages")
    sys.path.append(entry)
    try:
        folder = Environments(tmp_path / "root", environ=wheels).get(Needs(("qmlib>=2",)))
    finally:
        sys.path.remove(entry)
    said = said_by(folder, "import qmlib, qmshared, msgspec; print(qmlib.__version__)")
    assert said == "2.0"


def test_two_processes_and_two_threads_make_an_environment_once(
    tmp_path: Path, wheels: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = making.make
    monkeypatch.setattr(
        making, "make", lambda *args: (made.append(1), time.sleep(0.3), real(*args))[-1]
    )
    found: list[str] = []
    needs = Needs(("qmlib==1.0",))
    apart = [Environments(tmp_path / "root", environ=wheels) for _ in range(3)]
    threads = [threading.Thread(target=lambda e=e: found.append(e.get(needs))) for e in apart]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(set(found)) == 1
    assert (len(found), len(made)) == (3, 1)


def test_what_a_killed_maker_has_left_is_made_anew(
    tmp_path: Path, wheels: Mapping[str, str]
) -> None:
    needs = Needs(("qmlib==1.0",))
    half = tmp_path / "root" / hash_of(needs)
    (half / "bin").mkdir(parents=True)
    (half / "bin/python").write_text("half a file")
    folder = Environments(tmp_path / "root", environ=wheels).get(needs)
    assert folder == str(half)
    assert said_by(folder, "import qmlib; print(qmlib.__version__)") == "1.0"


def test_a_package_that_wants_other_libraries_of_ours_is_a_conflict_in_one_line(
    tmp_path: Path, wheels: Mapping[str, str]
) -> None:
    with pytest.raises(BrokenEnvironmentError, match="msgspec"):
        Environments(tmp_path / "root", environ=wheels).get(Needs(("qmold",)))


def test_a_failure_is_remembered_with_its_evidence_shown_once(
    tmp_path: Path, wheels: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs, made = Needs(("qmlib==3.0",)), []
    real = making.make
    monkeypatch.setattr(making, "make", lambda *args: (made.append(1), real(*args))[-1])
    environments = Environments(tmp_path / "root", environ=wheels)
    place = layout.place(tmp_path / "root", hash_of(needs))

    def error() -> BrokenEnvironmentError:
        with pytest.raises(BrokenEnvironmentError, match="no version of qmlib==") as raised:
            environments.get(needs)
        return raised.value

    assert "No solution found" in error().evidence
    assert (error().evidence, len(made)) == ("", 1)
    assert not place.folder.exists()
    note = failures.read(place)
    assert note is not None
    monkeypatch.setattr(time, "time", lambda: note.at + failures.BROKEN_S + 1)
    assert (error().evidence, len(made)) == ("", 2)
    monkeypatch.setattr(time, "time", lambda: note.at + 2.5 * failures.BROKEN_S)
    assert (error().evidence, len(made)) == ("", 2), "the pause has doubled"
    with pytest.raises(BrokenEnvironmentError):
        environments.get(needs, at_once=True)
    assert len(made) == 3
    make_wheel(tmp_path / "wheels", "qmlib", "3.0")
    assert environments.get(needs, at_once=True)
    assert failures.read(place) is None


def test_a_failure_of_a_process_without_tasks_is_tried_once_by_one_with_tasks(
    tmp_path: Path, wheels: Mapping[str, str]
) -> None:
    """In compose, the master is the first to find it, and has no task that shows the evidence."""
    root, needs = tmp_path / "root", Needs(("qmlib==3.0",))
    master, *workers = (
        Environments(root, environ=wheels, shows=shows) for shows in (False, True, True)
    )
    place = layout.place(root, hash_of(needs))

    def found(by: Environments, at_once: bool = False) -> tuple[bool, int]:
        with pytest.raises(BrokenEnvironmentError) as raised:
            by.get(needs, at_once=at_once)
        note = failures.read(place)
        assert note is not None
        return bool(raised.value.evidence), note.count

    assert [found(master), found(master)] == [(True, 1), (False, 1)]
    assert found(workers[0]) == (True, 2)
    assert [found(workers[1]), found(workers[0])] == [(False, 2)] * 2
    assert found(master, at_once=True) == (True, 3)
    assert found(workers[1]) == (False, 3), "it was shown before"


def test_what_needs_nothing_gets_nothing_and_off_refuses(tmp_path: Path) -> None:
    off, on = Environments(None), Environments(tmp_path / "root")
    assert [off.get(None), off.get(Needs()), on.get(None), on.get(Needs((), ">=3"))] == [""] * 4
    assert not (tmp_path / "root").exists()
    with pytest.raises(NoEnvironmentError, match="QUEUE_ENVIRONMENTS=off"):
        off.get(Needs(("rich",)))
    with pytest.raises(NoEnvironmentError, match="it needs Python <3"):
        on.get(Needs(("rich",), "<3"))
    (tmp_path / "file").write_text("")
    with pytest.raises(NoEnvironmentError, match="no environment there: "):
        Environments(tmp_path / "file").get(Needs(("rich",)))


def test_close_ends_what_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "uv"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("queue_manager.environments.uv._program", lambda: str(slow))
    environments, ended = Environments(tmp_path / "root"), []

    def make() -> None:
        with pytest.raises(NoEnvironmentError, match="this process ends"):
            environments.get(Needs(("rich",)))
        ended.append(1)

    thread = threading.Thread(target=make)
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while not environments.processes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    environments.close()
    thread.join(DEADLINE_S)
    assert ended
    assert not list((tmp_path / "root").glob("*.failed"))


def test_what_nobody_uses_and_nobody_has_used_is_removed(
    tmp_path: Path, wheels: Mapping[str, str]
) -> None:
    root = tmp_path / "root"
    environments = Environments(root, environ=wheels)
    used, unused = (environments.get(Needs((f"qmlib=={v}",))) for v in ("1.0", "2.0"))
    held = subprocess.Popen(
        [
            layout.python_of(used),
            "-c",
            "from queue_manager.environments.layout import hold_own; hold_own();"
            "print('held', flush=True); input()",
        ],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout is not None
    assert held.stdout.readline() == b"held\n"
    assert ageing.remove_unused(root, 30 * DAY_S) == 0
    old = time.time() - 31 * DAY_S
    for folder in (used, unused):
        os.utime(f"{folder}.lock", (old, old))
    assert ageing.remove_unused(root, 30 * DAY_S) == 1
    assert (Path(used).exists(), Path(unused).exists()) == (True, False)
    assert layout.cache(root).exists()
    held.communicate(b"\n", timeout=DEADLINE_S)
    assert ageing.remove_unused(root, 30 * DAY_S) == 1
    assert list(root.iterdir()) == []


def test_a_lock_that_is_removed_in_the_moment_of_taking_it_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes would have two locks of one environment."""
    path, real, calls = tmp_path / "a.lock", fcntl.flock, []

    def flock(descriptor: int, kind: int) -> None:
        calls.append(1)
        if len(calls) == 1:
            path.unlink()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    taken = locks.take(path, wait=lambda: False)
    assert taken is not None
    assert os.fstat(taken).st_ino == path.stat().st_ino
    assert locks.take(path, wait=lambda: False) is None
    os.close(taken)


def test_all_is_on_the_disk_before_the_mark_that_says_so(
    tmp_path: Path, wheels: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the mark, and not what it stands for."""
    found: list[tuple[bool, bool]] = []
    real = sync.file_system_of

    def synced(folder: Path) -> None:
        installed = any(folder.glob("lib/python*/site-packages/qmlib.py"))
        found.append((installed, layout.Place(folder).is_made))
        real(folder)

    monkeypatch.setattr(sync, "file_system_of", synced)
    folder = Environments(tmp_path / "root", environ=wheels).get(Needs(("qmlib==1.0",)))
    assert found == [(True, False)]
    assert layout.Place(Path(folder)).is_made
    with pytest.raises(OSError, match="nothing"):
        real(tmp_path / "nothing")


def test_the_mark_is_off_the_disk_before_the_rest_goes(
    tmp_path: Path, wheels: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(Environments(tmp_path / "root", environ=wheels).get(Needs(("qmlib==1.0",))))
    old = time.time() - 31 * DAY_S
    os.utime(f"{folder}.lock", (old, old))
    found: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        sync,
        "folder",
        lambda path: found.append((layout.Place(path).is_made, (path / "bin").exists())),
    )
    assert ageing.remove_unused(tmp_path / "root", 30 * DAY_S) == 1
    assert found == [(False, True)]


@pytest.mark.parametrize(
    ("owner", "name", "other"),
    [
        ("sys", "version", "3.13.9 (main, Jan  1 2027) [GCC 14]"),
        ("sys", "executable", "/usr/bin/python-of-another-place"),
        ("sysconfig", "get_platform", lambda: "linux-aarch64"),
        ("sysconfig", "get_config_var", lambda _: "cpython-313t-x86_64-linux-gnu"),
    ],
)
def test_another_python_gets_another_environment(
    owner: str, name: str, other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = Needs(("rich",))
    before = hash_of(needs)
    monkeypatch.setattr(getattr(recipe, owner), name, other)
    assert hash_of(needs) != before


def test_what_is_at_hand_is_had_without_waiting(tmp_path: Path, wheels: Mapping[str, str]) -> None:
    environments, needs = Environments(tmp_path / "root", environ=wheels), Needs(("qmlib==1.0",))
    assert environments.at_hand(needs) is None
    assert not (tmp_path / "root").exists()
    folder = environments.get(needs)
    assert environments.at_hand(needs) == folder
    absent = Needs(("qmlib==3.0",))
    with pytest.raises(BrokenEnvironmentError):
        environments.get(absent)
    with pytest.raises(BrokenEnvironmentError):
        environments.at_hand(absent)
    assert environments.at_hand(absent, at_once=True) is None


def test_words_of_uv_show_no_tokens_of_addresses() -> None:
    token = "http://a:b%40@host/simple/rich/?token=hidden-1&b=hidden-2"
    passing = trouble(f"error: x\n  cause: Failed to fetch: {token}\n  cause: dns error\n", 2)
    assert str(passing) == "can't get package rich: dns error"
    words = UNSOLVABLE + f"  hint: `{token}` and ({token}) and git+ssh://hidden-3@host/a\n"
    broken = trouble(words, 1)
    assert isinstance(broken, BrokenEnvironmentError)
    assert "hidden" not in broken.evidence
    assert "`http://***@host/simple/rich/?***` and (http://***@host/" in broken.evidence
    assert "hidden" not in str(trouble(f"error: Failed to parse: `x @ {token}`", 2))


def test_words_of_uv_become_one_line_without_passwords() -> None:
    passing, broken = trouble(UNREACHABLE, 2), trouble(UNSOLVABLE, 1)
    assert isinstance(passing, NoEnvironmentError)
    assert str(passing) == "can't get package rich: dns error"
    assert isinstance(broken, BrokenEnvironmentError)
    assert str(broken).endswith(
        ": Because there is no version of rich==99 and you require rich==99"
    )
    assert broken.evidence == UNSOLVABLE
    odd = trouble(UNREACHABLE.replace("Failed to fetch: ", "fetching "), 2)
    assert "secret" not in str(odd)
    assert isinstance(trouble("", 101), NoEnvironmentError)
