"""The folder of `out=`, where others may write too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs import images, logs, mail
from jobs.output import folder, pages
from jobs.weblog.asked import PathList


def test_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for name in (".report.txt.part", ".report.txt.0123.part"):
        (tmp_path / name).write_text("of a run that was killed")
        os.utime(tmp_path / name, (1, 1))
    for text in ("one", "two\r\n"):
        folder.put(tmp_path / "report.txt", text)
        assert (tmp_path / "report.txt").read_bytes() == text.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]
    umask = os.umask(0o022)
    try:
        folder.put(tmp_path / "report.txt", "three")
    finally:
        os.umask(umask)
    assert (tmp_path / "report.txt").stat().st_mode & 0o777 == 0o644


def test_of_two_writers_of_a_file_each_has_a_part_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with folder.replacing(path) as first:
        first.write("first, ")
        with folder.replacing(path) as second:
            second.write("second, whole")
        assert path.read_text() == "second, whole"
        first.write("whole")
    assert path.read_text() == "first, whole"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_may_put_the_same_file(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from jobs.output.folder import put
path, text = Path(sys.argv[1]), sys.argv[2] * 200_000
for _ in range(300):
    put(path, text)
    found = path.read_text()
    assert len(found) == 200_000 and len(set(found)) == 1, "half a file"
"""
    ours = [sys.executable, "-c", code, str(tmp_path / "index.html")]
    root = Path(folder.__file__).parents[2]
    writers = [subprocess.Popen([*ours, text], cwd=root) for text in "ab"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_file_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    folder.put(path, "old")
    with pytest.raises(UnicodeEncodeError), folder.replacing(path) as file:
        file.writelines(["new", "\udc80"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["report.txt", ".report.txt.part"])
@pytest.mark.parametrize("hard", [False, True])
def test_a_link_that_somebody_has_put_there_is_not_written_through(
    tmp_path: Path, name: str, hard: bool
) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("precious")
    out.mkdir()
    if hard:
        os.link(victim, out / name)
    else:
        (out / name).symlink_to(victim)
    folder.put(out / "report.txt", "text")
    assert victim.read_text() == "precious"
    assert (out / "report.txt").read_text() == "text"
    assert not (out / "report.txt").is_symlink()


def test_the_folder_of_an_earlier_report_is_taken(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    assert folder.made(str(place), page_of="logs") == str(place)
    template = tmp_path / "own.html"
    template.write_text("{% extends 'layout.html' %}{% block job %}logs{% endblock %}")
    folder.put(place / "index.html", pages.page(template, {}))
    folder.made(str(place), page_of="logs")
    with pytest.raises(ValueError, match="that mail did not make"):
        folder.made(str(place), page_of="mail")


def test_the_page_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My site</h1>")
    with pytest.raises(
        ValueError, match=r"has an index\.html that logs did not make: name another"
    ):
        folder.made(str(tmp_path), page_of="logs")


def test_a_pipe_or_a_link_in_the_place_of_the_page_does_not_hold_the_run_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.html")
    folder.made(str(tmp_path), page_of="logs")
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").symlink_to("/etc/passwd")
    folder.made(str(tmp_path), page_of="logs")


def test_what_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file' can't be written to: File exists"):
        folder.made(str(tmp_path / "file"), page_of="logs")


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    folder.put(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        folder.put(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("job", ["mail", "images", "logs"])
def test_each_job_refuses_a_folder_with_the_page_of_something_else(
    tmp_path: Path, job: str
) -> None:
    (tmp_path / "index.html").write_text("<h1>My site</h1>")
    given: dict[str, Any] = {
        "mail": {"to": "ann@example.org", "text": "x"},
        "images": {"start": "http://localhost/"},
        "logs": {"paths": PathList("/nothing")},
    }[job]
    tasks = {"mail": mail, "images": images, "logs": logs}[job].tasks
    with pytest.raises(ValueError, match=rf"has an index\.html that {job} did not make"):
        list(tasks(**given, out=str(tmp_path)))
    assert (tmp_path / "index.html").read_text() == "<h1>My site</h1>"
