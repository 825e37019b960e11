"""One form for each address, so that each is fetched once."""

from __future__ import annotations

import re
import string

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from jobs.crawl.address import LONGEST, host_of, joiner, normalized, origin_of


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("http://site.test", "http://site.test/"),
        ("HTTP://SITE.Test/A", "http://site.test/A"),
        ("http://site.test:80/", "http://site.test/"),
        ("https://site.test:443/", "https://site.test/"),
        ("http://site.test:8080/", "http://site.test:8080/"),
        ("http://site.test/a/./b/../c", "http://site.test/a/c"),
        ("http://site.test/%2e%2e/a", "http://site.test/a"),
        ("http://site.test\\a", "http://site.test/a"),
        ("  http://site.test/a\n", "http://site.test/a"),
        (
            "http://site.test/https%3a%2F%2Fx.org%2Fa.png?s=1",
            "http://site.test/https%3A%2F%2Fx.org%2Fa.png?s=1",
        ),
        ("http://site.test/?u=%2Fa%26b%20c", "http://site.test/?u=%2Fa%26b%20c"),
        ("http://site.test/a%26b.png", "http://site.test/a%26b.png"),
        ("http://site.test/%%41B", "http://site.test/%%41B"),
        ("http://site.test/a%zz?", "http://site.test/a%zz"),
        ("http://site.test/a??", "http://site.test/a??"),
        ("http://site.test./a", "http://site.test/a"),
        ("http://site.test.:8080/a", "http://site.test:8080/a"),
        ("http://site.test/%7Eann/", "http://site.test/~ann/"),
        ("http://site.test/%e4", "http://site.test/%E4"),
        ("http://site.test/a b", "http://site.test/a%20b"),
        ("http://site.test/a%2Fb", "http://site.test/a%2Fb"),
        ("http://site.test/?a=1%2B1&b=1+1", "http://site.test/?a=1%2B1&b=1+1"),
        ("http://site.test/ä", "http://site.test/%C3%A4"),
        ("http://ann:secret@site.test/", "http://site.test/"),
        ("http://ann@site.test/@b", "http://site.test/@b"),
        ("http://site.test/a#b", "http://site.test/a"),
        ("http://site.test/#", "http://site.test/"),
        ("http://münchen.test/", "http://xn--mnchen-3ya.test/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),  # noqa: RUF001
    ],
)
def test_an_address_has_one_form(address: str, form: str) -> None:
    assert normalized(address) == form
    assert normalized(form) == form


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("b", "http://site.test/x/b"),
        ("/b", "http://site.test/b"),
        ("../b", "http://site.test/b"),
        ("//other.test/b", "http://other.test/b"),
        ("?q", "http://site.test/x/a?q"),
        ("", "http://site.test/x/a"),
        ("#top", "http://site.test/x/a"),
        ("https:b", "https://b/"),
    ],
)
def test_an_address_is_joined_to_its_page(address: str, form: str) -> None:
    assert normalized(address, "http://site.test/x/a") == form


@pytest.mark.parametrize(
    "address",
    [
        "ftp://site.test/",
        "mailto:ann@site.test",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "http://",
        "http://a b/",
        "http://site.test:99999/",
        "http://[::1/",
        "http://1.2.3.4.5.6/",
        "http://a..test/",
        "http://.test/",
        f"http://{'a' * 64}.test/",
    ],
)
def test_what_cannot_be_fetched_is_none(address: str) -> None:
    assert normalized(address, "http://site.test/") is None


def test_a_relative_address_needs_a_page() -> None:
    assert normalized("a") is None


def test_a_very_long_address_is_none_also_when_only_its_escapes_make_it_long() -> None:
    room = LONGEST - len("http://site.test/")
    assert normalized("http://site.test/" + "a" * room) is not None
    assert normalized("http://site.test/" + "a" * (room + 1)) is None
    assert normalized("http://site.test/" + "ä" * (room // 2)) is None


def test_host_and_origin_of_an_address() -> None:
    assert host_of("https://site.test:8443/a?b") == "site.test"
    assert origin_of("https://site.test:8443/a?b") == "https://site.test:8443"
    assert host_of("http://[::1]:8000/") == "[::1]"
    assert origin_of("http://[::1]:8000/") == "http://[::1]:8000"


_ESCAPES = [
    "%2F",
    "%2f",
    "%3A",
    "%26",
    "%25",
    "%41",
    "%7e",
    "%2e",
    "%",
    "%4",
    "%zz",
    "%E4",
    "1",
    "B",
]
_RESERVED = [*":/?#[]@!$&'()*+,;="]
_PLACES = [*_ESCAPES, *_RESERVED, *'a.;+ |\\^`{}"<>', "%20", "ä"]


@given(st.lists(st.sampled_from(_PLACES), max_size=8).map("".join))
def test_what_is_sent_is_the_form_itself_and_only_unreserved_characters_are_decoded(
    tail: str,
) -> None:
    form = normalized(f"http://site.test/{tail}")
    assert form is not None
    assert form.isascii()
    assert normalized(form) == form
    assert URL(form, encoded=True).raw_path_qs == form.removeprefix("http://site.test")
    browsers = ada_url.URL(f"http://site.test/{tail}").href.partition("#")[0]
    path, _, query = browsers.partition("?")
    assert _octets(form) == _octets(browsers if query else path), "another resource"


def _octets(address: str) -> list[str]:
    """What an address means (RFC 3986, 6.2.2): escapes of unreserved characters are these."""
    if re.search("%(?![0-9A-Fa-f]{2})", address):
        return [address.upper()]
    parts = re.findall("%..|.", address)
    plain = {f"%{ord(one):02X}": one for one in string.ascii_letters + string.digits + "-._~"}
    return [plain.get(part.upper(), part if len(part) == 1 else part.upper()) for part in parts]


_PIECES = [*"?#/:.%\\ \t\n@&=a", "..", "//", "http:", "https://", "http://b.test", "data:", "%2e"]


@given(
    base=st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
    reference=st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
)
@example(base="x/page?a=/b", reference="y")
@example(base="x/page?a", reference="http:?q")
@example(base="x/page", reference="\t?q")
def test_references_of_a_page_are_joined_as_one_by_one(base: str, reference: str) -> None:
    """What is remembered of one page serves only where the next would get the same."""
    pages = [normalized(f"http://site.test/{base}"), "http://site.test/x/other?z", "http://a.test/"]
    if reference.startswith(("#", "data:")):
        return
    for page in pages:
        if page is not None:
            assert joiner(page)(reference) == normalized(reference, page)


def test_what_leads_nowhere_is_no_address() -> None:
    join = joiner("http://site.test/x")
    assert [join(one) for one in ("#top", "data:image/gif;base64,R0lG")] == [None, None]
