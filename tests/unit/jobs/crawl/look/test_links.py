"""What a page refers to, by every way that there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jobs.crawl.fetch.client import TooLargeError
from jobs.crawl.look import links
from jobs.crawl.look.links import found_in_sheet, links_of
from jobs.crawl.look.markup import MOST_TAGS

PAGE = "http://site.test/x/page"
AT = "http://site.test/x/"


def pictures(html: str) -> list[str]:
    return list(links_of(html.encode(), None, PAGE).pictures)


def pages(html: str) -> list[str]:
    return list(links_of(html.encode(), None, PAGE).pages)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="n">',
        '<map><area href="n"></map>',
        '<iframe src="n"></iframe>',
        '<link rel="canonical" href="n">',
        '<link rel="next" href="n">',
        '<a href=" n\n">',
        '<A HREF="n#part">',
        '<a rel="noopener" href="n">',
        '<a rel="external-nofollows" href="n">',
        '<base href="/x/"><a href="n">',
        '<base href="http://site.test/x/"><a href="n">',
        '<meta name="robots" content="noindex, max-image-preview:none"><a href="n">',
    ],
)
def test_a_page_leads_to_pages(html: str) -> None:
    assert pages(html) == [AT + "n"]


def test_frames_lead_to_pages() -> None:
    assert pages('<frameset><frame src="n"></frameset>') == [AT + "n"]


@pytest.mark.parametrize(
    "html",
    [
        '<a rel="nofollow" href="n">',
        '<a rel="ugc NoFollow" href="n">',
        '<meta name="robots" content="noindex,nofollow"><a href="n">',
        '<meta name="ROBOTS" content="None"><a href="n">',
        '<a href="mailto:a@b"><a href="#top"><a href=""><a>',
        '<link rel="alternate" href="n">',
    ],
)
def test_what_is_no_page_or_not_to_be_followed_is_left(html: str) -> None:
    assert pages(html) == []


@pytest.mark.parametrize(
    "html",
    [
        '<img src="p">',
        '<img data-src="p">',
        '<img data-original="p">',
        '<img data-srcset="p 1x">',
        '<img srcset="p">',
        '<img src="data:image/gif;base64,R0lGOD" data-src="p">',
        '<noscript><img src="p"></noscript>',
        '<picture><source srcset="p 2x" type="image/webp"></picture>',
        '<input type="image" src="p">',
        '<video poster="p"></video>',
        '<svg><image href="p"/></svg>',
        '<svg><image xlink:href="p"/></svg>',
        '<link rel="icon" href="p">',
        '<link rel="Shortcut ICON" href="p">',
        '<link rel="apple-touch-icon" href="p">',
        '<link rel="preload" as="image" href="p">',
        '<meta property="og:image" content="p">',
        '<meta name="twitter:image" content="p">',
        '<div style="background: url(p)">',
        "<div style='background: URL(\"p\")'>",
        "<style>b { background: url(p) }</style>",
        '<body background="p">',
        '<table background="p"></table>',
    ],
)
def test_a_page_shows_pictures(html: str) -> None:
    assert pictures(html) == [AT + "p"]


@pytest.mark.parametrize(
    "html",
    [
        '<video><source src="p" srcset="p"></video>',
        '<link rel="preload" as="font" href="p">',
        '<meta property="og:title" content="p">',
        '<style>@font-face { src: url("p") }</style>',
        '<!-- <img src="p"> -->',
        '<script>"<img src=p>"</script>',
        '<img src="data:image/gif;base64,R0lGOD"><img src=""><img>',
    ],
)
def test_what_shows_no_picture_is_left(html: str) -> None:
    assert pictures(html) == []


def test_style_sheets_are_found_by_link_and_import() -> None:
    html = '<link rel="stylesheet" href="a.css"><style>@import "b.css"; @import url(c.css);</style>'
    found = links_of(html.encode(), None, PAGE)
    assert list(found.sheets) == [AT + "a.css", AT + "b.css", AT + "c.css"]
    assert not found.pictures
    assert not found.pages


def test_each_address_is_found_once_with_the_first_alt_text_that_says_something() -> None:
    html = '<img src="p"><img src="/x/p" alt=" the \n sea "><img src="p#x" alt="other">'
    assert links_of(html.encode(), None, PAGE).pictures == {AT + "p": "the sea"}


def test_an_alt_text_of_megabytes_is_cut() -> None:
    html = f'<img src="p" alt="{"long " * 100_000}">'
    (alt,) = links_of(html.encode(), None, PAGE).pictures.values()
    assert alt.startswith("long long ")
    assert len(alt) <= 1000


def test_the_charset_of_the_header_goes_before_that_of_the_page() -> None:
    body = '<meta charset="utf-8"><img src="ж.png">'.encode("windows-1251")
    found = links_of(body, "windows-1251", PAGE)
    assert list(found.pictures) == [AT + "%D0%B6.png"]


@pytest.mark.parametrize(
    "meta",
    [
        '<meta charset="windows-1251">',
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">',
    ],
)
def test_the_charset_of_the_page_counts_where_the_header_has_none(meta: str) -> None:
    body = f'{meta}<img src="p" alt="море">'.encode("windows-1251")
    assert links_of(body, None, PAGE).pictures == {AT + "p": "море"}


@pytest.mark.parametrize(
    "charset", ["no-such", "hex", "idna", "undefined", "unicode_escape", "utf-7"]
)
def test_a_charset_of_nonsense_is_passed_over(charset: str) -> None:
    assert list(links_of(b'<img src="p">', charset, PAGE).pictures) == [AT + "p"]
    assert list(found_in_sheet(b"b { background: url(p) }", charset, PAGE).pictures) == [AT + "p"]


def test_bytes_that_are_no_text_are_read_as_far_as_they_go() -> None:
    assert pictures("\0\ufffd<img src=p>") == [AT + "p"]
    assert list(links_of(b"\xff\xfe\xff<img src=p>\x80", "utf-8", PAGE).pictures) == [AT + "p"]


def test_what_a_sheet_refers_to_is_joined_to_the_sheet() -> None:
    body = '@import "more.css"; b { background: url("../ä.png") } i { background: url(data:x) }'
    found = found_in_sheet(body.encode(), None, PAGE)
    assert list(found.sheets) == [AT + "more.css"]
    assert list(found.pictures) == ["http://site.test/%C3%A4.png"]


def test_tags_nested_five_thousand_deep_are_read() -> None:
    assert pictures("<div>" * 5_000 + '<img src="p">') == [AT + "p"]


def test_pictures_that_scripts_would_load_later_are_found() -> None:
    html = b"""<picture><source data-srcset="/a.png 2x"></picture><div data-bg="/b.png"></div>
    <div data-background="url('/c.png')"></div><p data-background-image="/d.png">
    <img data-lazy="/e.png"><object data="/f.svg"></object><embed src="/g.svg">"""
    found = links_of(html, None, "http://site.test/")
    assert [one[-5:] for one in found.pictures] == [f"{n}.png" for n in "abcde"] + [
        "f.svg",
        "g.svg",
    ]


def test_a_charset_that_is_none_of_browsers_is_not_asked() -> None:
    for charset in ("unicode_escape", "punycode", "idna", "rot13", "\udcff"):
        found = links_of(b'<img src="/a.png" alt="\\ud800 x">', charset, "http://site.test/")
        assert found.pictures == {"http://site.test/a.png": "\\ud800 x"}


def test_styles_of_a_page_are_looked_through_to_a_bound() -> None:
    many = b"<style>" + b"a{b:url(/a.png)}" * 100_000 + b"</style><style>a{b:url(/z.png)}</style>"
    assert list(links_of(many, None, "http://site.test/").pictures) == ["http://site.test/a.png"]


def test_an_alt_text_has_no_control_characters() -> None:
    found = links_of(b'<img src="/a.png" alt="a\x1b[31m&#7;\n b">', None, "http://site.test/")
    assert found.pictures == {"http://site.test/a.png": "a [31m b"}


def test_a_refresh_that_comes_late_or_without_scripts_only_is_a_link() -> None:
    def of(html: bytes) -> tuple[str | None, list[str]]:
        found = links_of(html, "utf-8", "http://site.test/a")
        return found.refresh, list(found.pages)

    soon = b'<meta http-equiv="Refresh" content="0; url=/b">'
    assert of(soon) == ("http://site.test/b", [])
    assert of(soon.replace(b"0;", b"60;")) == (None, ["http://site.test/b"])
    assert of(b"<body><noscript>" + soon + b"</noscript>") == (None, ["http://site.test/b"])
    assert of(b"<meta name=robots content=nofollow>" + soon) == (None, [])


LONG = "x" * 4096


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        (f"<a href='/{LONG}'>", "page"),
        (f"<img src='/{LONG}'>", "image"),
        (f"<img srcset='/{LONG} 2x'>", "image"),
        (f"<link rel=stylesheet href='/{LONG}'>", "css"),
        (f"<meta http-equiv=refresh content='0; url=/{LONG}'>", "page"),
        (f"<style>a{{background:url(/{LONG})}}</style>", "image"),
    ],
)
def test_an_address_that_is_too_long_is_found_with_its_kind(html: str, kind: str) -> None:
    found = links_of(html.encode(), "utf-8", "http://site.test/a/")
    assert found.long == {f"http://site.test/{LONG}": kind}
    assert (found.pages, found.pictures, found.sheets, found.refresh) == ({}, {}, {}, None)


def test_an_address_that_escapes_make_too_long_is_one() -> None:
    found = links_of(f"<a href='/{'é' * 1000}'>".encode(), "utf-8", "http://site.test/")
    assert list(found.long) == [f"http://site.test/{'%C3%A9' * 1000}"]


def test_what_could_not_be_fetched_anyway_is_not_too_long() -> None:
    html = f"<img src='data:image/png;base64,{LONG}'><a href='mailto:{LONG}'><a href='#{LONG}'>"
    assert links_of(html.encode(), "utf-8", "http://site.test/").long == {}


def test_a_long_fragment_does_not_count() -> None:
    found = links_of(f"<a href='/a#{LONG}'>".encode(), "utf-8", "http://site.test/")
    assert (list(found.pages), found.long) == (["http://site.test/a"], {})


def test_a_sheet_tells_addresses_that_are_too_long_and_not_all_of_them() -> None:
    sheet = "".join(f"a{{background:url({number}{LONG})}}" for number in range(50))
    assert len(found_in_sheet(sheet.encode(), None, "http://site.test/a.css").long) == 20


_WORST = r"""
import sys
from pathlib import Path
from jobs.crawl.look.links import links_of
from jobs.crawl.look.markup import MOST_ELEMENTS
from jobs.crawl.visit.texts import PAGE_BYTES
def filled(piece):
    return piece * min(PAGE_BYTES // len(piece), MOST_ELEMENTS // piece.count(b"<"))
pages = {
    "links": filled(b"<a href=x>"),
    "formatting": filled(b"<b><p>"),
    "attributes": filled(b"<q style a b c d e f g h i j k l m n o p>"),
    "unclosed": b"<p>" + b"".join(b"<b id=%d>" % n for n in range(2000)) + b"<p>x" * 2000,
    "closed by others": b"<p><table><td>" + b"".join(b"<I\0id=%d></b>" % n for n in range(2000))
    + b"<p>x" * 2000,
    "long base": b"<base href=http://site.test/" + b"y" * 3000 + b"/>"
    + b"".join(b"<a href=%d>" % n for n in range(MOST_ELEMENTS - 1)),
}
links_of(pages[sys.argv[1]], "utf-8", "http://site.test/")
links_of(pages["unclosed"].decode().encode("utf-16"), "utf-16", "http://site.test/")
# Not ru_maxrss, which counts what the parent of the process had.
said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(said["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize(
    "kind",
    ["links", "formatting", "attributes", "unclosed", "closed by others", "long base"],
)
def test_the_worst_page_stays_below_the_memory_of_a_slot(kind: str) -> None:
    """`memory_bytes` of the job is 768 MiB, and one page at a time is looked through."""
    done = subprocess.run(
        [sys.executable, "-c", _WORST, kind], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 550


def test_a_page_of_very_many_tags_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="more than 100,000 tags"):
        links_of(b"<a>" * (MOST_TAGS + 1), None, "http://site.test/")


def test_a_page_of_many_tags_keeps_what_its_formatting_says() -> None:
    text = b"<b style='background:url(/x.png)'><i data-bg=/y.png><a href=/z>" + b"<br>" * 2000
    found = links_of(text, None, "http://site.test/")
    assert list(found.pictures) == ["http://site.test/x.png", "http://site.test/y.png"]
    assert list(found.pages) == ["http://site.test/z"]


def test_addresses_that_are_too_long_together_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "FOUND_CHARACTERS", 40)
    found = links_of(b"<a href=/1><a href=/2><a href=/3>", None, "http://site.test/")
    assert (list(found.pages), found.left_out) == (["http://site.test/1", "http://site.test/2"], 1)
