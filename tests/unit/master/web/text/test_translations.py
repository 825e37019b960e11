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
from master.web.text.templates import Templates
from queue_manager.client.checking import STATES

WEB = FOLDER.parent
TASK_STATES = ("waiting", "delayed", "leased", "done", "dead", "cancelled")
_METHODS = [("templates/**.html", "jinja2.ext.babel_extract"), ("**.py", "python")]
_VALUE = re.compile(r"%\(\w+\)s|\{\w+\}")


def texts() -> set[str]:
    """All texts of templates and modules, and those that a template gets as a value."""
    keywords = {"_": None, "ngettext": (1, 2)}
    found = extract_from_dir(WEB, _METHODS, keywords=keywords)  # type: ignore[arg-type]
    labels = {page.label for page in PAGES if page.label}
    return {text for _, _, message, _, _ in found for text in forms(message)} | {
        *STATES, *TASK_STATES, "pruned", *labels,
    }  # fmt: skip


def forms(message: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The singular and the plural of a text, or the only form that there is."""
    return (message,) if isinstance(message, str) else tuple(message)


def catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/messages.po")), ids=lambda p: p.parent.name)
def test_every_text_is_translated_and_no_other(path: Path) -> None:
    translated = {
        text: "".join(forms(one.string))
        for one in catalog(path)
        if one.id
        for text in forms(one.id)
    }
    assert texts() - {text for text, said in translated.items() if said} == set()
    assert translated.keys() - texts() == set()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/messages.po")), ids=lambda p: p.parent.name)
def test_a_translation_takes_the_same_values(path: Path) -> None:
    for one in catalog(path):
        if one.id:
            values = {tuple(sorted(_VALUE.findall(text))) for text in forms(one.id)}
            assert {tuple(sorted(_VALUE.findall(text))) for text in forms(one.string)} == values


def test_chinese_is_there() -> None:
    assert [path.parent.name for path in FOLDER.glob("*/messages.po")] == ["zh"]


@pytest.mark.parametrize(
    ("language", "tasks", "said"),
    [
        ("en", 1, "Run 5 was forgotten, with its 1 task."),
        ("en", 1_000, "Run 5 was forgotten, with its 1,000 tasks."),
        ("zh", 1, "1 个任务"),
        ("zh", 1_000, "1,000 个任务"),
    ],
)
def test_one_has_words_of_its_own(language: str, tasks: int, said: str) -> None:
    view = {"said": {"of": {"run": 5, "tasks": tasks}}}
    assert said in Templates().render("said/forget.html", language, view)
