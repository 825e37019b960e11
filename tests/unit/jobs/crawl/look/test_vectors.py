"""SVG that is harmless when its file is opened, and SVG that is not."""

from __future__ import annotations

import pytest

from jobs.crawl.look.vectors import LONGEST_NAME, MOST_BYTES, is_inert

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


@pytest.mark.parametrize(
    "inside",
    [
        "",
        '<path d="M0 0h1"/><!-- script --><title>on = script</title>',
        '<defs><g id="a"/></defs><use xlink:href="#a"/><use href="#a" fill="url(#b)"/>',
        "<style>.a { fill: url('#b'); stroke: red }</style>",
        '<image href="data:image/png;base64,AAAA"/>',
        '<metadata><r:RDF xmlns:r="urn:rdf" r:about=""/></metadata>',
        '<animate attributeName="x" to="3"/>',
    ],
)
def test_a_drawing_is_inert(inside: str) -> None:
    assert is_inert(f'<?xml version="1.0" encoding="UTF-8"?>{OPEN}{inside}</svg>'.encode())


@pytest.mark.parametrize(
    "inside",
    [
        "<script>x()</script>",
        '<s:script xmlns:s="http://www.w3.org/2000/svg" href="#a"/>',
        '<h:script xmlns:h="http://www.w3.org/1999/xhtml">x()</h:script>',
        "<foreignObject/>",
        '<g onclick="x()"/>',
        '<g OnLoad="x()"/>',
        '<a href="javascript:x()"/>',
        '<a href=" java&#10;script:x()"/>',
        '<a xlink:href="data:text/html,x"/>',
        '<a><set attributeName="href" to="javascript:x()"/></a>',
        '<animate attributeName="xlink:href" values="javascript:x()"/>',
        '<use href="other.svg#a"/>',
        '<image href="http://elsewhere.test/a.png"/>',
        '<g style="fill: url(http://elsewhere.test/a)"/>',
        "<style>@import '//elsewhere.test/a.css';</style>",
        r"<style>a { fill: \75rl(//elsewhere.test/) }</style>",
        r"<style>@\69mport '//elsewhere.test/a.css';</style>",
        r"<style>\@import '//elsewhere.test/a.css';</style>",
        r'<g style="fill: \75rl"/>',
        '<g xml:base="http://elsewhere.test/"/>',
        "<g",
        "&amp;</svg><svg>",
    ],
)
def test_what_may_run_or_ask_is_not(inside: str) -> None:
    assert not is_inert(f"{OPEN}{inside}</svg>".encode())


@pytest.mark.parametrize(
    "head",
    [
        '<?xml-stylesheet href="a.xsl" type="text/xsl"?>',
        '<!DOCTYPE svg [<!ENTITY a "<script/>">]>',
        '<!DOCTYPE svg [<!ATTLIST g onload CDATA "x()">]>',
        '<?xml version="1.0" encoding="utf-7"?>',
    ],
)
def test_nor_is_what_a_head_can_do(head: str) -> None:
    assert not is_inert(f"{head}{OPEN}<g/></svg>".encode())


def test_what_is_too_large_to_be_looked_through_is_not_known_to_be_inert() -> None:
    assert not is_inert(f"{OPEN}{' ' * MOST_BYTES}</svg>".encode())


@pytest.mark.parametrize("inside", ['<x:{} xmlns:x="urn:x"/>', '<g {}="1"/>'])
def test_what_has_a_very_long_name_is_not_known_to_be_inert(inside: str) -> None:
    short, long = (
        f"{OPEN}{inside.format('n' * n)}</svg>".encode() for n in (100, LONGEST_NAME + 1)
    )
    assert is_inert(short)
    assert not is_inert(long)
