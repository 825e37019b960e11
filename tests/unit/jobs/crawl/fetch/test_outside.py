"""What comes from outside is clean behind the door."""

from __future__ import annotations

from jobs.crawl.fetch.client import location
from jobs.crawl.fetch.outside import header, one_line, validator


def test_a_text_is_one_line_that_can_be_written() -> None:
    assert one_line("a\0b\udcff\n c\x1b\u2028d", 100) == "a b c d"
    assert len(one_line("x" * 10**6, 300)) == 300
    assert header({"A": "x\udcff y"}, "A") == "x y"
    assert header({}, "A") == ""


def test_a_validator_that_cannot_be_sent_back_is_none() -> None:
    assert validator({"ETag": '"a"'}, "ETag") == '"a"'
    for bad in ('"\udcff"', '"ä"', '"\x01"', '"' + "a" * 600):
        assert validator({"ETag": bad}, "ETag") == ""


def test_bytes_of_a_redirect_that_are_no_text_are_their_escapes() -> None:
    base = "http://site.test/"
    assert location({"Location": "/\udcff.png"}, base) == "http://site.test/%FF.png"
    assert location({"Location": "/ä.png"}, base) == "http://site.test/%C3%A4.png"
