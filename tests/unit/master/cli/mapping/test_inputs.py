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
