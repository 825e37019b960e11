"""Lists that people and programs have made badly: one bad row costs no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.mailing.recipients import MOST_BYTES, rows


def read(path: Path, content: str | bytes) -> list[tuple[int, str]]:
    """The number and the address, or what is wrong, of each row of a file."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [
        (row.number, row.mailbox.envelope if row.mailbox else row.wrong) for row in rows(str(path))
    ]


@pytest.mark.parametrize("end", ["", 'c@x.example,"C"\n'])
def test_a_quote_that_is_not_closed_costs_its_own_row_alone(tmp_path: Path, end: str) -> None:
    text = 'email,name\na@x.example,"A\nA"\nbad@x.example,"B\n' + "b@x.example,B\n" * 3 + end
    found = read(tmp_path / "a.csv", text)
    assert found[0] == (1, "a@x.example")
    assert found[1][1].startswith("row 2: ")
    assert found[2:5] == [(number, "b@x.example") for number in (3, 4, 5)]
    assert found[5:] == ([(6, "c@x.example")] if end else [])


def test_blank_lines_have_a_number(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "email\n\na@x.example\n\nnobody\n")
    assert found[0] == (2, "a@x.example")
    assert found[1][1].startswith("row 4: 'nobody'")
    found = read(tmp_path / "a.jsonl", '{"email": "a@x.example"}\n\n{"email": 7}\n')
    assert found[1][1].startswith("row 3: '7'")


def test_a_row_that_is_no_utf8_is_wrong(tmp_path: Path) -> None:
    wrong = (1, "row 1 is not UTF-8: save the list as UTF-8")
    csv = "email,name\na@x.example,Jörg\nb@x.example,B\n".encode("latin1")
    assert read(tmp_path / "a.csv", csv) == [wrong, (2, "b@x.example")]
    jsonl = '{"email": "a@x.example", "name": "Jörg"}\n'.encode("latin1")
    assert read(tmp_path / "a.jsonl", jsonl) == [wrong]
    escaped = r'{"email": "a@x.example", "name": ["\ud800"]}'
    assert read(tmp_path / "a.jsonl", escaped) == [wrong]
    with pytest.raises(ValueError, match=r"a\.csv is not UTF-8: save it as UTF-8$"):
        read(tmp_path / "a.csv", "email,name\n".encode("utf-16"))


def test_a_huge_line_and_a_deep_one_are_wrong_rows(tmp_path: Path) -> None:
    huge = "x" * (3 * MOST_BYTES)
    found = read(tmp_path / "a.csv", f"email,name\na@x.example,{huge}\nb@x.example,B\n")
    assert found == [
        (1, "row 1: it has a line of more than 262,144 characters"),
        (2, "b@x.example"),
    ]
    deep = "[" * 900 + "]" * 900
    lines = [f'{{"email": "{huge}"}}', f'{{"email": "a@x.example", "x": {deep}}}']
    found = read(tmp_path / "a.jsonl", "\n".join([*lines, '{"email": "b@x.example"}']))
    assert [number for number, _ in found] == [1, 2, 3]
    assert "line of more than" in found[0][1]
    assert "more than 50 levels" in found[1][1]
    assert found[2][1] == "b@x.example"


def test_a_huge_line_inside_a_quote_is_a_row_of_its_own(tmp_path: Path) -> None:
    text = f'email,name\na@x.example,"A\n{"x" * 3 * MOST_BYTES}\nb@x.example,B\n'
    found = read(tmp_path / "a.csv", text)
    assert [number for number, _ in found] == [1, 2, 3]
    assert "line of more than" in found[1][1]
    assert found[2] == (3, "b@x.example")


def test_a_row_with_too_many_or_too_few_cells_is_wrong(tmp_path: Path) -> None:
    text = (
        "email,name,code\na@x.example,Smith, Ann,C-1\nb@x.example,Bob\nc@x.example,C,C-3,,\n"
        "d@x.example,,\n"
    )
    assert read(tmp_path / "a.csv", text) == [
        (
            1,
            "row 1 has 4 cells where the first line has 3: put quotes around a text with"
            " delimiters",
        ),
        (2, "row 2 has no cell for code: it has 2 of 3 cells"),
        (3, "c@x.example"),
        (4, "d@x.example"),
    ]
    assert read(tmp_path / "b.csv", "email,name,\na@x.example,A\n") == [(1, "a@x.example")]


def test_a_name_that_is_no_text_is_wrong(tmp_path: Path) -> None:
    lines = [
        '{"email": "a@x.example", "name": {"first": "X"}}',
        '{"email": "b@x.example", "name": 7}',
        '{"email": "c@x.example", "name": null}',
    ]
    assert read(tmp_path / "a.jsonl", "\n".join(lines)) == [
        (1, 'row 1: name is a text, not {"first": "X"}'),
        (2, "row 2: name is a text, not 7"),
        (3, "c@x.example"),
    ]
