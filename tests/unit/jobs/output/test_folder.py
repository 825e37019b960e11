"""The folder of `out=`, where others may write too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.output import folder, pages


def test_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / ".report.txt.part").write_text("of a run that was killed")
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
    with pytest.raises(ValueError, match="no report"):
        folder.made(str(place), page_of="mail")


def test_the_page_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My site</h1>")
    with pytest.raises(ValueError, match=r"has an index\.html that is no report: name another"):
        folder.made(str(tmp_path), page_of="logs")
    folder.made(str(tmp_path))  # no page is to be replaced


def test_a_pipe_or_a_link_in_the_place_of_the_page_does_not_hold_the_run_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.html")
    folder.made(str(tmp_path), page_of="logs")
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").symlink_to("/etc/passwd")
    folder.made(str(tmp_path), page_of="logs")


def test_what_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file' can't be written to: File exists"):
        folder.made(str(tmp_path / "file"))


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
