"""The health file and its command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from queue_manager import health


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "health"
    monkeypatch.setenv("HEALTH_FILE", str(path))
    return path


def test_a_touched_file_is_healthy(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("something longer that was there before, of another program\n")
    health.touch(path)
    assert health.main() == 0
    assert capsys.readouterr().out.startswith("healthy: last sign of life 0.")


def test_an_old_file_is_unhealthy(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = health.time.monotonic()
    monkeypatch.setattr(health.time, "monotonic", lambda: now)
    health.touch(path)
    monkeypatch.setattr(health.time, "monotonic", lambda: now + 16)
    assert health.main() == 1
    assert capsys.readouterr().out == "unhealthy: last sign of life 16.0 s ago\n"
    assert health.main(["20"]) == 0


@pytest.mark.parametrize("content", [None, "", "nonsense", "99999999999999999.0"])
def test_a_missing_or_strange_file_is_unhealthy(
    path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        path.write_text(content)
    assert health.main() == 1
    out = capsys.readouterr().out
    assert out.startswith("unhealthy: ")
    assert out.count("\n") == 1


def test_a_link_of_somebody_else_is_not_written_through(path: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic links"):
        health.touch(path)
    assert (tmp_path / "theirs").read_text() == "precious"


def test_a_pipe_of_somebody_else_holds_nobody_up(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        health.touch(path)  # nobody reads it
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="not a plain file"):
            health.touch(path)
        with pytest.raises(OSError, match="not a plain file"):
            health.age_s(path)
    finally:
        os.close(reader)


def test_another_name_of_a_file_is_not_written_to(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    os.link(tmp_path / "precious", path)
    with pytest.raises(OSError, match="not a plain file with one name"):
        health.touch(path)
    assert (tmp_path / "precious").read_text() == "precious"


WAYS = {
    "module": ["-m", "queue_manager.health"],
    "container": ["-IS", str(Path(health.__file__))],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_command_runs(way: str, path: Path) -> None:
    health.touch(path)
    done = subprocess.run(
        [sys.executable, *WAYS[way], "60"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_check_of_a_container_imports_little() -> None:
    """Dozens of containers check themselves every few seconds, maybe on one processor."""
    code = f"import sys; exec(open({health.__file__!r}).read(), {{}}); print(*sys.modules)"
    out = subprocess.check_output([sys.executable, "-ISc", code], text=True)
    assert not {"queue_manager", "msgspec", "pathlib", "typing", "asyncio"} & set(out.split())


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/stack.yml"])
def test_a_check_that_takes_too_long_is_ended(file: str) -> None:
    """Docker lets the process of such a check run on; hundreds of them held up a machine."""
    lines = (Path(health.__file__).parents[1] / file).read_text().splitlines()
    (test,) = (line.strip() for line in lines if "health.py" in line)
    assert test == (
        'test: ["CMD", "timeout", "-s", "KILL", "5", "python", "-IS",'
        ' "/app/queue_manager/health.py"]'
    )
