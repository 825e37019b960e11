"""What a run notes of its commands."""

from __future__ import annotations

import os
from pathlib import Path

from master.cli.shell.inputs import Stream, Words, file_input
from master.cli.shell.keyed import note_of
from queue_manager.shell.template import Template


def test_a_note_tells_what_makes_the_commands() -> None:
    template = Template("wc", raw=True)
    assert note_of(template, "/x", "2:ab") == [
        "command=wc {}",
        "workdir=/x",
        "inputs=2:ab",
        "raw=yes",
    ]
    assert note_of(template, "/x", "")[2] == "inputs=read-once"


def test_a_note_of_long_or_odd_commands_is_short_text_and_tells_them_apart() -> None:
    texts = ["x" * 100_000 + "a", "x" * 100_000 + "b", "a\udcff", "a\\xff"]
    notes = [note_of(Template(text), "/", "")[0] for text in texts]
    assert len(set(notes)) == len(texts)
    assert all(len(note.encode()) < 1_000 for note in notes)


def test_the_same_inputs_have_the_same_digest_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"a b\nc\xff\n")
    (tmp_path / "zeros").write_bytes(b"a b\0c\xff")
    lines = file_input(str(tmp_path / "lines"), b"\n")
    words = Words(("a b", os.fsdecode(b"c\xff")))
    zeros = file_input(str(tmp_path / "zeros"), b"\0")
    assert lines.digest() == words.digest() == zeros.digest()
    assert list(lines.at_once()) == ["a b", os.fsdecode(b"c\xff")]  # they are still there
    assert Words(("a", "b c")).digest() != words.digest() != Words(("a b",)).digest()


def test_inputs_that_can_be_read_once_have_no_digest() -> None:
    reading, writing = os.pipe()
    assert Stream(reading, "a pipe", b"\n").digest() == ""
    os.close(reading)
    os.close(writing)
