"""Every text of the pages has a translation, which takes the same values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from master.web.app import PAGES
from master.web.text.language import FOLDER
from queue_manager.client.checking import STATES

WEB = FOLDER.parent
TASK_STATES = ("waiting", "delayed", "leased", "done", "dead", "cancelled")
_METHODS = [("templates/**.html", "jinja2.ext.babel_extract"), ("**.py", "python")]
_VALUE = re.compile(r"%\(\w+\)s|\{\w+\}")


def texts() -> set[str]:
    """All texts of templates and modules, and those that a template gets as a value."""
    found = extract_from_dir(WEB, _METHODS, keywords={"_": None})  # type: ignore[arg-type]
    labels = {page.label for page in PAGES if page.label}
    return {message for _, _, message, _, _ in found if isinstance(message, str)} | {
        *STATES, *TASK_STATES, "pruned", *labels,
    }  # fmt: skip


def catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/messages.po")), ids=lambda p: p.parent.name)
def test_every_text_is_translated_and_no_other(path: Path) -> None:
    translated = {str(one.id): str(one.string) for one in catalog(path) if one.id}
    assert texts() - {text for text, said in translated.items() if said} == set()
    assert translated.keys() - texts() == set()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/messages.po")), ids=lambda p: p.parent.name)
def test_a_translation_takes_the_same_values(path: Path) -> None:
    for one in catalog(path):
        if one.id:
            values = sorted(_VALUE.findall(str(one.id)))
            assert sorted(_VALUE.findall(str(one.string))) == values, one.id


def test_chinese_is_there() -> None:
    assert [path.parent.name for path in FOLDER.glob("*/messages.po")] == ["zh"]
