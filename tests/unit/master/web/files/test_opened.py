"""No link leads out of the folder, and nothing but files and folders is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from master.web.files import opened as opened_module
from master.web.files.opened import NoFileError, listed, opened, parts_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file of a job, and a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "shared"
    (root / "images" / "a").mkdir(parents=True)
    (root / "images" / "index.html").write_text("the page")
    return root


def read(root: Path, path: str) -> bytes:
    with opened(root, parts_of(path)) as (descriptor, _):
        return os.read(descriptor, 100)


def test_a_file_is_opened(root: Path) -> None:
    assert read(root, "images/index.html") == b"the page"
    assert read(root, "//images///index.html") == b"the page"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt", "images/../../secret.txt", "./images/index.html", "images/.hidden",
        "images/\0", "a/" * 40, "images/" + "n" * 300, "images/index.html/more", "nothing",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_none(root: Path, path: str) -> None:
    (root / "images" / ".hidden").write_text("half")
    with pytest.raises(NoFileError):
        read(root, path)


def test_no_link_is_followed(root: Path) -> None:
    (root / "images" / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "out").symlink_to(root.parent)
    (root / "images" / "inside").symlink_to(root / "images" / "index.html")
    for path in ("images/link.txt", "out/secret.txt", "images/inside"):
        with pytest.raises(NoFileError):
            read(root, path)
    assert [one.name for one in listed(root, []).entries] == ["images"]
    assert [one.name for one in listed(root, ["images"]).entries] == ["index.html", "a"]


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert read(tmp_path / "link", "images/index.html") == b"the page"


def test_a_pipe_is_no_file_and_nobody_waits_for_it(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(NoFileError):
        read(root, "pipe")
    assert "pipe" not in [one.name for one in listed(root, []).entries]


def test_no_descriptor_stays_open(root: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for path in ("images/index.html", "images", "images/nothing", "images/index.html/x"):
        try:
            read(root, path) if path.endswith("html") else listed(root, parts_of(path))
        except NoFileError:
            continue
    assert len(os.listdir("/dev/fd")) == before


def test_a_folder_with_more_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (root / "images" / f"{number}.png").write_bytes(b"x" * number)
    found = listed(root, ["images"], most=3)
    assert [(one.name, one.size_bytes) for one in found.entries] == [
        ("0.png", 0), ("1.png", 1), ("2.png", 2),
    ]  # fmt: skip
    assert found.more
    monkeypatch.setattr(opened_module, "_LOOKED_AT", 2)
    assert len(listed(root, ["images"]).entries) == 2
    assert listed(root, ["images"]).more
    with pytest.raises(NoFileError):
        listed(root, ["images", "0.png"])


def test_a_name_that_is_no_text_is_not_shown(root: Path) -> None:
    (root / "images" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert [one.name for one in listed(root, ["images"]).entries] == ["index.html", "a"]
