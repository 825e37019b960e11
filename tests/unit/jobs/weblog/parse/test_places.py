"""Line ends, quotes and numbers are found at once as they are found one by one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from jobs.weblog.parse import places
from jobs.weblog.parse.places import Finder, numbers

CACHE = places._IN_CACHE
ALIKE = b'a"\x02*\n\n""\xff\xb0'


@pytest.mark.parametrize("size", [1, 9, CACHE - 1, CACHE, CACHE + 1, 600_000])
def test_line_ends_and_quotes_are_found_among_bytes_like_them(size: int) -> None:
    text = (ALIKE * (size // len(ALIKE) + 1))[:size]
    expected = [found.start() for found in re.finditer(rb'[\n"]', text)]
    assert Finder().places(np.frombuffer(text, np.uint8)).tolist() == expected


@pytest.mark.parametrize("behind", [" ", "\n", "-", "a", ":", "/", "\xb0", " 7 1234567890"])
def test_numbers_of_up_to_sixteen_digits_are_read(behind: str) -> None:
    digits = "9081726354433217"
    texts = [digits[:count] + behind for count in range(16)] + ["0", "007 ", "9" * 16]
    expected = [re.match(r"\d*", text) for text in texts]
    text = "line " + "".join(texts)
    at = np.cumsum([5, *map(len, texts)])[:-1]
    found, count = numbers(np.frombuffer(text.encode("latin-1"), np.uint8), at)
    for row, match in enumerate(expected):
        assert match
        whole = re.match(r"\d*", text[at[row] :])
        assert whole
        assert count[row] == min(16, len(whole[0])), texts[row]
        if len(whole[0]) <= 16:
            assert found[row] == int(whole[0] or 0), texts[row]


def test_a_number_at_the_end_of_a_text_is_whole() -> None:
    text = np.frombuffer(b"behind 12345", np.uint8)
    found, count = numbers(text, np.arange(5, 12))
    assert found.tolist() == [0, 0, 12345, 2345, 345, 45, 5]
    assert count.tolist() == [0, 0, 5, 4, 3, 2, 1]
