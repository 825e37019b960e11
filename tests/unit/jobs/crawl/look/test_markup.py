"""What a page may cost the HTML parser."""

from __future__ import annotations

import time

import pytest

from jobs.crawl.fetch.client import TooLargeError
from jobs.crawl.look.links import links_of
from jobs.crawl.look.markup import (
    MOST_ATTRIBUTES,
    MOST_ELEMENTS,
    MOST_TAGS,
    UNCHECKED_BYTES,
    bounded,
)

PAGE = "http://site.test/"
TEXT = b" text" * (UNCHECKED_BYTES // 5)


def names(count: int, form: str = "a%x ") -> bytes:
    return b"".join(form.encode() % number for number in range(count))


TOO_MANY = 150_000


@pytest.mark.parametrize(
    "page",
    [
        b"<q " + names(TOO_MANY) + b">",
        b"<q/" + names(TOO_MANY, "a%x/") + b">",
        b"<q " + names(TOO_MANY, "a%x='>'") + b">",
        b'<q a="<q>" ' + names(TOO_MANY, 'a%x=">" ') + b">",
        b"<q '\" " + names(TOO_MANY) + b">",
        b"<!-- <x a='--><q " + names(TOO_MANY) + b">",
        b'<script>if (i<n) s = "<x a=\'"</script><q ' + names(TOO_MANY) + b">",
        names(MOST_TAGS - 1, "<body a%x>"),
        names(MOST_TAGS - 1, "<HTML a%x>"),
        b'<body class="x">'
        + b"".join(b"<body " + names(1000, f"a{n}x%x ") + b">" for n in range(99)),
    ],
    ids=lambda page: repr(page[:24]),
)
def test_a_tag_of_very_many_attributes_makes_a_page_too_large_before_it_is_parsed(
    page: bytes,
) -> None:
    began = time.process_time()
    with pytest.raises(TooLargeError, match="a tag of more than 4,000 attributes"):
        links_of(page, None, PAGE)
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("codec", ["utf-16le", "utf-16be"])
def test_so_it_is_where_a_byte_order_mark_says_how_the_page_is_read(codec: str) -> None:
    page = "\ufeff<q " + names(TOO_MANY).decode() + ">"
    with pytest.raises(TooLargeError):
        links_of(page.encode(codec), None, PAGE)


def test_and_where_a_charset_hides_the_ends_of_tags() -> None:
    page = b"<meta charset=iso-2022-jp><q \x1b$B>>\x1b(B " + names(TOO_MANY) + b">"
    with pytest.raises(TooLargeError):
        links_of(page, None, PAGE)


@pytest.mark.parametrize(
    "piece",
    [b"<a/b=", b"<a b=<", b"<a b=\"<a b='"],
)
def test_a_page_whose_tags_do_not_end_is_looked_at_a_few_times_only(piece: bytes) -> None:
    page = piece * (MOST_TAGS // piece.count(b"<")) + b"x" * 3_000_000
    began = time.process_time()
    with pytest.raises(TooLargeError, match="tags do not end"):
        bounded(page)
    assert time.process_time() - began < 10.0


@pytest.mark.parametrize(
    "page",
    [
        b"<a href=/x>" + TEXT,
        b"<q " + names(MOST_ATTRIBUTES - 10) + b"><a href=/x>" + TEXT,
        b"<q " + b"again " * TOO_MANY + b"><a href=/x>",
        b"<a href=/x><img src='data:image/png;base64," + b"A/A " * UNCHECKED_BYTES + b"'>",
        b"<a href=/x><script>for(i=0;i<n;i++){" + b"a = b / c;" * UNCHECKED_BYTES + b"}</script>",
        b"<a href=/x>" + b"<script>if(i<n){f(' ')}</script>" * 20_000,
        b"<a href=/x>" + b"<p data-x='<p>' title=\"a > b\" hidden>text</p>" * 20_000,
        b'<body class="x"><a href=/x>' + TEXT + b"</body><body onload=x>",
    ],
    ids=lambda page: repr(page[:24]),
)
def test_a_page_that_somebody_wrote_is_read(page: bytes) -> None:
    assert list(links_of(page, None, PAGE).pages) == ["http://site.test/x"]


def test_a_short_page_is_not_looked_at() -> None:
    page = b"<q " + names(MOST_ATTRIBUTES * 2) + b"><b>"
    assert bounded(page) is page


@pytest.mark.parametrize("tag", [b"<div>", b"<q>", b"<x/>", b"<ul><li>"])
def test_a_page_that_may_be_nested_very_deep_is_too_large_before_it_is_parsed(tag: bytes) -> None:
    opened = tag * (MOST_ELEMENTS // tag.count(b"<"))
    assert bounded(opened)
    with pytest.raises(TooLargeError, match="a page of more than 60,000 elements"):
        bounded(opened + tag)


def test_tags_that_close_and_comments_are_no_elements() -> None:
    page = b"<i>" + b"<li><!-- x --></li>" * ((MOST_TAGS - 1) // 3)
    assert page.count(b"<") > MOST_ELEMENTS
    assert b"</li>" in bounded(page)
