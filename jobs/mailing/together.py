"""Arguments that are right by themselves and may not go together: a submit says so in one line."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from .addresses import mailbox
from .asked import Files, Template
from .letter.templates import render

_SHOWN = re.compile(r"""(?:=|\()\s*["']?cid:([^"'\s)>]+)""", re.I)
"""Where HTML shows a picture of the message: `src="cid:NAME"`, `url(cid:NAME)`."""


def check_together(template: str, inline: str, to: str, subject: str, text: str) -> None:
    """Check that the template has its pictures, and for one recipient all its variables.

    Raises:
        ValueError: something is missing. One line.
    """
    if not template:
        return
    page = Template(template)
    source = page.content()
    if page.is_html:
        _check_pictures(source, Files(inline).paths())
    if to:
        for one, html in ((source, page.is_html), (subject, False), (text, False)):
            _check_filled(one, html, to)


def _check_pictures(source: str, paths: list[str]) -> None:
    there = {Path(path).name for path in paths}
    for shown in _SHOWN.findall(source):
        if "{" not in shown and unquote(shown) not in there:  # a variable may name a picture
            raise ValueError(
                f"the template shows cid:{shown}, and inline= has no file of that name: give"
                f" inline=FOLDER/{unquote(shown)}"
            )


def _check_filled(source: str, html: bool, to: str) -> None:
    who = mailbox(to)
    values = {"to": who.envelope, "unsubscribe": "", **({"name": who.name} if who.name else {})}
    try:
        render(source, values, html=html)
    except ValueError as error:
        raise ValueError(
            f"a template for to= has to and unsubscribe, and name if to= is 'Ann <ann@example.org>'"
            f": {str(error).removeprefix('the template and this row: ')}"
        ) from None
