"""Reading inputs: four forms, pieces of any size, and errors that name the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from master.cli.mapping import inputs as module
from master.cli.mapping.inputs import Form, Inputs
from queue_manager.errors import InputError


@pytest.fixture(params=[1, 2, 3, 7, 1_000])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_READ_BYTES", request.param)
    return int(request.param)


def read(tmp_path: Path, data: bytes, form: Form, most_bytes: int = 100) -> list[Any]:
    path = tmp_path / "inputs"
    path.write_bytes(data)
    inputs = Inputs([str(path)], form, most_bytes)
    found = list(inputs)
    assert list(inputs) == found
    inputs.digest()
    if form is not Form.CSV:
        assert len(inputs) == len(found)
    return found


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize(
    ("data", "form", "found"),
    [
        (b"", Form.LINES, []),
        (b"\n", Form.LINES, [""]),
        (b"a\nb", Form.LINES, ["a", "b"]),
        (b"a\r\n\r\nb\n", Form.LINES, ["a", "", "b"]),
        ("\ufeffé\n\ufeff\n".encode(), Form.LINES, ["é", "\ufeff"]),
        (b"a\nb\0\0c", Form.NULL, ["a\nb", "", "c"]),
        (b'{"a": [1]}\r\n%d\n"x"' % (10**22,), Form.JSONL, [{"a": [1]}, 10**22, "x"]),
        (b'a,b\n1,"2\n3"\n\n4,5', Form.CSV, [{"a": "1", "b": "2\n3"}, {"a": "4", "b": "5"}]),
        (b"a,b\r\n1,2\r\n", Form.CSV, [{"a": "1", "b": "2"}]),
    ],
)  # fmt: skip
def test_a_form_gives_the_same_in_pieces_of_any_size(
    tmp_path: Path, data: bytes, form: Form, found: list[Any]
) -> None:
    assert read(tmp_path, data, form) == found


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize(
    ("data", "form", "said"),
    [
        (b"1\n2\n[", Form.JSONL, "line 3 is no JSON: Expecting value (column 2)"),
        (b"1\n\n2", Form.JSONL, "line 2 is no JSON: it is empty"),
        (b"1" * 5_000, Form.JSONL, "line 1 is no JSON that can be read: Exceeds the limit"),
        (b"a\n" + b"x" * 6_001, Form.LINES, "line 2 has more than 6,000 bytes: raise QUEUE_MAX_B"),
        (b"a\0\xff\0", Form.NULL, "input 2 is no UTF-8 (byte 1)"),
        (b'a\n"b', Form.CSV, "line 2 is no CSV: unexpected end of data"),
        (b"a,b\n1,2,3\n", Form.CSV, "line 2 has 3 cells, and line 1 has 2"),
        (b"a,b\n1,2\n3\n", Form.CSV, "line 3 has 1 cell, and line 1 has 2"),
        (b"a,b,a\n", Form.CSV, "line 1 names two columns 'a'"),
    ],
)
def test_what_is_not_of_its_form_is_told_with_its_line(
    tmp_path: Path, data: bytes, form: Form, said: str
) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, data, form, 6_000)
    assert str(error.value).startswith(f"{tmp_path / 'inputs'}: {said}")


def test_each_file_has_the_form_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    (tmp_path / "b.JSONL").write_text("2\n")
    inputs = Inputs([str(tmp_path / name) for name in ("a.csv", "b.JSONL")], None, 100)
    assert list(inputs) == [{"n": "1"}, 2]
    assert [name.partition(":")[0] for name in inputs.names] == ["csv", "jsonl"]
    inputs.digest()
    with pytest.raises(TypeError):
        len(inputs)


def test_the_digest_is_that_of_the_bytes_and_of_where_files_end(tmp_path: Path) -> None:
    def digest(*texts: str) -> str:
        paths = [tmp_path / f"{place}.jsonl" for place in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return Inputs([str(path) for path in paths], None, 100).digest()

    assert digest("1\n", "2\n") == digest("1\n", "2\n")
    assert len({digest("1\n2\n"), digest("1\n", "2\n"), digest("2\n", "1\n")}) == 3


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """The numbers from 1 to 9 in `in.jsonl`, which is read in pieces of 4 bytes."""
    monkeypatch.setattr(module, "_READ_BYTES", 4)
    (tmp_path / "in.jsonl").write_text("1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    inputs = Inputs([str(tmp_path / "in.jsonl")], None, 100)
    inputs.digest()
    return inputs


@pytest.mark.parametrize("read_before", [0, 3])
def test_a_file_that_was_replaced_is_read_as_it_was(
    tmp_path: Path, counted: Inputs, read_before: int
) -> None:
    reading = iter(counted)
    before = [next(reading) for _ in range(read_before)]
    (tmp_path / "new").write_text("-1\n")
    (tmp_path / "new").replace(tmp_path / "in.jsonl")
    assert before + list(reading) == list(counted) == list(range(1, 10))
    (tmp_path / "in.jsonl").unlink()
    assert list(counted) == list(range(1, 10))


def test_what_is_put_behind_the_end_is_no_input(tmp_path: Path, counted: Inputs) -> None:
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("10\n11\n")
    assert list(counted) == list(range(1, 10))


@pytest.mark.parametrize("text", ["", "1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6\n7\n8\n0\n"])
def test_a_file_that_was_edited_gives_no_other_input(
    tmp_path: Path, counted: Inputs, text: str
) -> None:
    (tmp_path / "in.jsonl").write_text(text)
    found: list[int] = []
    with pytest.raises(InputError, match=r"in\.jsonl has changed since this command began"):
        found.extend(counted)  # with those before the error
    assert found == list(range(1, len(found) + 1))


def test_of_many_files_one_that_was_replaced_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HELD", 1)
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    inputs = Inputs([str(tmp_path / name) for name in ("a", "b")], Form.LINES, 100)
    inputs.digest()
    assert list(inputs) == ["a", "b"]
    for name in ("a", "b"):
        (tmp_path / name).unlink()
        (tmp_path / name).write_text("c\n")
    reading = iter(inputs)
    assert next(reading) == "a"
    with pytest.raises(InputError, match=r"b has changed since this command began"):
        next(reading)
