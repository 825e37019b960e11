"""Values of attributes that hold more than one address."""

from __future__ import annotations

import time

import pytest

from jobs.crawl.look.attributes import MOST_CANDIDATES, candidates, refreshed


@pytest.mark.parametrize(
    ("srcset", "addresses"),
    [
        ("a.png", ["a.png"]),
        ("a.png 1x, b.png 2x", ["a.png", "b.png"]),
        ("a.png 100w,b.png 200w", ["a.png", "b.png"]),
        ("a.png, b.png", ["a.png", "b.png"]),
        ("a.png,b.png", ["a.png,b.png"]),
        ("/w_1,h_2/a.png 1x, /w_3,h_4/b.png 2x", ["/w_1,h_2/a.png", "/w_3,h_4/b.png"]),
        ("data:image/png;base64,AAA= 1x, b.png 2x", ["data:image/png;base64,AAA=", "b.png"]),
        ("\n  a.png\t1x ,\n b.png 1.5x,\n", ["a.png", "b.png"]),
        (",,a.png 1x,,b.png", ["a.png", "b.png"]),
        ("a.png 1x x(1, 2), b.png", ["a.png", "b.png"]),
        ("a.png 400w 300h, b.png", ["a.png", "b.png"]),
        ("", []),
        (" , ", []),
        (None, []),
    ],
)
def test_srcset_is_read_as_browsers_do(srcset: str | None, addresses: list[str]) -> None:
    assert candidates(srcset) == addresses


def test_a_srcset_of_very_many_is_read_in_one_pass() -> None:
    began = time.process_time()
    assert len(candidates("a, " * 1_000_000)) == MOST_CANDIDATES
    assert candidates("a.png (" + "(" * 1_000_000) == ["a.png"]
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("0; url=/b", (0.0, "/b")),
        (" 5;URL = '/b c' ignored", (5.0, "/b c")),
        ('3.7, url="/b', (3.0, "/b")),
        (".5 /b", (0.0, "/b")),
        ("0;/b", (0.0, "/b")),
        ("0;urls", (0.0, "urls")),
        ("30", None),
        ("0; url=", None),
        ("0; url=''", None),
        ("soon; url=/b", None),
        ("; url=/b", None),
        ("0url=/b", None),
    ],
)
def test_a_refresh_is_read_as_browsers_do(content: str, said: tuple[float, str] | None) -> None:
    assert refreshed(content) == said
