"""What a sitemap names, and what is refused."""

from __future__ import annotations

import gzip

import pytest

from jobs.crawl.look import sitemaps
from jobs.crawl.look.sitemaps import MOST_BYTES, NoSitemapError, named_by

AT = "http://site.test/maps/s.xml"
SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset {SPACE} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
 <url><loc> http://site.test/a?x=1&amp;y=2 </loc><lastmod>2026-01-01</lastmod>
  <image:image><image:loc>http://pics.test/p.png</image:loc></image:image></url>
 <url><loc><![CDATA[http://site.test/b]]></loc><video><loc>http://site.test/v</loc></video></url>
 <url><loc>http://site.test/a?x=1&amp;y=2</loc></url><url><loc>mailto:a@site.test</loc></url>
</urlset>""".encode()
INDEX = f"""<sitemapindex {SPACE}><sitemap><loc>http://site.test/1.xml.gz</loc></sitemap>
<sitemap><loc>/2.xml</loc></sitemap></sitemapindex>""".encode()


@pytest.mark.parametrize(
    "body",
    [URLSET, gzip.compress(URLSET), gzip.compress(URLSET[:90]) + gzip.compress(URLSET[90:]),
     b"\n " + URLSET, URLSET.decode().replace("UTF-8", "UTF-16").encode("utf-16")],
)  # fmt: skip
def test_pages_and_pictures(body: bytes) -> None:
    found, others = named_by(body, AT)
    assert list(found.pages) == ["http://site.test/a?x=1&y=2", "http://site.test/b"]
    assert found.pictures == {"http://pics.test/p.png": ""}
    assert (found.sheets, found.long, others) == ({}, {}, [])


def test_an_index_names_sitemaps() -> None:
    found, others = named_by(INDEX, AT)
    assert others == ["http://site.test/1.xml.gz", "http://site.test/2.xml"]
    assert (found.pages, found.pictures) == ({}, {})


def test_an_address_that_is_too_long_is_told() -> None:
    long = f"http://site.test/{'x' * 5000}"
    found, _ = named_by(f"<urlset><url><loc>{long}</loc></url></urlset>".encode(), AT)
    assert found.long == {long: "page"}


BOMB = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"<!DOCTYPE urlset [{BOMB}]><urlset><url><loc>&b;</loc></url></urlset>", "entities"),
        ("<!DOCTYPE u [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><urlset>&a;</urlset>", "entities"),
        ("<!DOCTYPE u [<!ENTITY % a SYSTEM 'http://x.test/'> %a;]><urlset/>", "entities"),
        ("<html><body>404</body></html>", "no sitemap"),
        ("<!doctype html><p>404", "no sitemap"),
        ("<urlset><url>", "can be read"),
        ("<urlset>" + "<a>" * 1000, "within each other"),
        ("<urlset " + " ".join(f"a{n}=''" for n in range(100_000)) + "/>", "a tag of more than"),
        ("<?xml version='1.0' encoding='nonsense'?><urlset/>", "can be read"),
        ("http://site.test/a\n", "can be read"),
        ("", "can be read"),
    ],
)
def test_what_is_no_sitemap_or_a_trick_is_refused(body: str, why: str) -> None:
    with pytest.raises(NoSitemapError, match=why):
        named_by(body.encode(), AT)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (gzip.compress(b" " * (MOST_BYTES + 1)), "more than"),
        (gzip.compress(b"") * 100_000, "can be read"),
        (gzip.compress(URLSET)[:-20], "can be read"),
        (b"\x1f\x8bnonsense", "can be read"),
    ],
)
def test_what_is_packed_is_bounded_and_whole(body: bytes, why: str) -> None:
    with pytest.raises(NoSitemapError, match=why):
        named_by(body, AT)


def test_much_white_space_and_many_comments_are_no_long_tag() -> None:
    much = b"<urlset>" + b" " * 10**6 + b"<!-- none -->" * 50_000 + b"a" * 10**6
    found, _ = named_by(much + b"<url><loc>/a</loc></url></urlset>", AT)
    assert list(found.pages) == ["http://site.test/a"]


def test_so_many_addresses_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MOST_ADDRESSES", 3)
    many = "".join(f"<url><loc>/{number}</loc></url>" for number in range(9))
    found, _ = named_by(f"<urlset>{many}</urlset>".encode(), AT)
    assert len(found.pages) == 3
