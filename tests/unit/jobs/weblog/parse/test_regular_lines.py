"""A line that is told by its places means what the pattern of its format says, or is left to it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from jobs.weblog.parse import reader, words
from jobs.weblog.parse.words import OddTextError, Words
from jobs.weblog.show.report import as_data
from tests.unit.jobs.weblog.logs_made import asked, line, run

FORMATS = ["auto", "combined", "common"]
LISTS = [["status", "path", "client", "hour"], list(asked().by)]
SIGNS = [*'"\\ []-\r\t\v:+/0159aZ*\x02é', '""', '\\"', " - - ", '" "', " 200 ", "\xa0"]
LINES = [
    line(),
    line(rest=""),
    line(size="-", rest=' "https://a.example/?q=1" "Mozilla/5.0 (X11)"'),
    line(size="123456789", rest=' "-" "agent" "more" 0.12'),
    line(size="-", rest=" 0.12 xyz"),
    line(user="john doe", status="404"),
    "www.example.com:443 " + line(client="2001:db8::1"),
    line(request=r"\x16\x03\x01", time="02/Nov/2025:23:59:60 -0730"),
    line(request=r"GET /a\"b\" HTTP/1.1", rest=r' "-" "a \"b\" c"'),
    line(client="a b"),
    line(request=""),
    line(rest=' "" ""'),
    line(rest=' "-"'),
    line(rest=' "-" "a" "'),
    line(rest=' "-"  "a"'),
    line(rest=' "-" "a"x'),
    line(rest='"-" "a"'),
    line(rest=r' "-" "a" \"'),
    line(size="12345678901234567890"),
    line(size="0000000000000001"),
    line(time="2025-10-01T13:00:07Z +0000"),
    '1.2.3.4 - [01/Oct/2025:13:00:07 +0000] "GET / HTTP/1.1" 200 1 "-" "-"',
    '1.2.3.4 - - [01/Oct/2025:13:00:07 +0000] "GET / HTTP/1.1" 200 ',
]


def changed(text: str, chance: random.Random) -> str:
    """A line with a few changes."""
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice([*SIGNS, ""]) + text[at + chance.randrange(3) :]
    return text


def numbers(path: Path, **more: object) -> dict[str, Any]:
    """The report of a file, without what depends on chance or on the order of reading."""
    data = as_data(run([path], **more))
    del data["samples"]
    data["largest"] = [found["bytes"] for found in data["largest"]["requests"]]
    return data


def slowly(monkeypatch: pytest.MonkeyPatch, path: Path, **more: object) -> dict[str, Any]:
    """The same if each of its lines is read by the pattern."""

    def refused(*_: object) -> None:
        raise OddTextError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(reader.Words, "read", refused)
        return numbers(path, **more)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("by", LISTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_with_any_changes_mean_what_the_pattern_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, by: list[str], end: str
) -> None:
    chance = random.Random(f"{format}{len(by)}{end}")
    lines = [*LINES, *(changed(chance.choice(LINES), chance) for _ in range(3000))]
    lines += [line()] * (4 * len(lines))  # with fewer regular ones the text would be cut up
    chance.shuffle(lines)
    path = tmp_path / "access.log"
    path.write_bytes("".join(f"{text}{end}" for text in lines).encode("latin-1"))
    found = numbers(path, format=format, by=by)
    assert found == slowly(monkeypatch, path, format=format, by=by)
    assert found["lines"] == len(lines)


def test_usual_lines_are_regular() -> None:
    """None of them is left to a pattern, which takes a hundred times as long."""
    texts = [LINES[number] for number in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11)]
    made = Words(list(asked().by), "auto", lambda *_: 0.0)
    data = "".join(f"{text}\n" for text in texts).encode()
    assert made.read(data) == []
    batch, odd = made.batch()
    assert (len(batch), odd) == (len(texts), [])


def test_requests_of_many_texts_are_one_batch() -> None:
    made = Words([], "auto", lambda *_: 0.0)
    texts = [f"{line(client=f'192.0.2.{n}', size=str(n))}\n" * 3 for n in range(40)]
    for text in texts:
        assert made.read(text.encode()) == []
    assert made.held_bytes == sum(map(len, texts))
    batch, _ = made.batch()
    clients = batch.columns["client"]
    assert [clients.at(row) for row in range(len(batch))] == [
        f"192.0.2.{n}".encode() for n in range(40) for _ in range(3)
    ]
    assert batch.sizes.tolist() == [n for n in range(40) for _ in range(3)]
    assert (made.held_bytes, len(made.batch()[0])) == (0, 0)


def test_words_that_wait_are_counted_before_they_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    batch = words.Words.batch

    def counted(made: Words) -> object:
        batches.append(made.held_bytes)
        return batch(made)

    monkeypatch.setattr(reader, "_MOST_HELD_BYTES", 10_000)
    monkeypatch.setattr("jobs.weblog.read.lines.BLOCK_BYTES", 3000)
    monkeypatch.setattr(words.Words, "batch", counted)
    path = tmp_path / "access.log"
    path.write_text(f"{line()}\n" * 1000)
    assert run([path]).summary.requests == 1000
    assert len(batches) > 5
    assert max(batches) < 14_000
