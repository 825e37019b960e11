"""The page of the failures of a run: what is chosen stays chosen, and a wrong field is told."""

from __future__ import annotations

import html
import re
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from master.web.pages.failures import load_run
from master.web.pages.page import Asked, Desk, NothingThereError
from master.web.text.templates import Templates
from queue_manager.settings import load_settings
from queue_manager.wire.failure_groups import AskLetters, FailureGroup, Failures, Letters
from queue_manager.wire.records import DeadLetter, RunStatus
from tests.unit.master.web.loops import in_loop
from tests.unit.master.web.pages.test_overview import run

AT = 1_777_896_000.0
GROUPS = [
    FailureGroup(7, "square", "KeyError", "a.py:3", 5, AT, AT, 9, "bad", {"h/1": 5}),
    FailureGroup(7, "square", "", "", 2, AT, AT, 11, "bad", {"h/2": 2}),
]
LETTER = DeadLetter(9, 1, 0, "bad", "", "h/1", died_at=1_777_896_100.0)
HOUR = {"since": "2026-05-04T12:00", "until": "2026-05-04T13:00"}


class Kept:
    """A master with one run that has dead letters."""

    asked: AskLetters | None = None

    async def run(self, number: int) -> RunStatus:
        return run(number)

    async def get(self, key: object, make: Any, answer: type[Any]) -> Any:
        if answer is Failures:
            return Failures(1, GROUPS, 0, True)
        self.asked = make(1)
        return Letters(1, [LETTER], 0, True)


async def shown(*, is_data: bool = False, **query: str) -> tuple[Kept, dict[str, Any], str]:
    kept = Kept()
    desk = Desk(cast(Any, None), cast(Any, kept), cast(Any, None), load_settings({}))
    view = await load_run(Asked(desk, {"run": 7}, query, is_data=is_data))
    parts = [f"run-failures/{part}.html" for part in ("head", "groups", "letters")]
    templates = Templates()
    text = "".join(templates.render(part, "en", {**view, "may_act": True}) for part in parts)
    return kept, view, text


def links(text: str) -> list[dict[str, str]]:
    """The queries of the links that choose letters."""
    found = re.findall(r'href="/runs/7/failures\?([^"]*)"', text)
    return [{k: v[0] for k, v in parse_qs(html.unescape(one)).items()} for one in found]


@in_loop
async def test_what_is_chosen_stays_chosen_in_each_link() -> None:
    _, _, text = await shown(**HOUR)
    failure = {"error": "KeyError@a.py:3"}
    assert links(text) == [{**HOUR, **failure}, {**HOUR, **failure, "worker": "h/1"}, HOUR]
    assert "the hour of this death" in text
    assert "dead letters in all" in text
    assert "Of the whole run" in text
    _, _, text = await shown()
    assert "dead letters in all" not in text
    assert "Of the whole run" not in text


@in_loop
async def test_all_other_failures_have_no_link_that_would_choose_more_than_they_are() -> None:
    _, _, text = await shown()
    assert "h/2" in text
    assert [one for one in links(text) if one.get("worker") == "h/2"] == []


@in_loop
async def test_a_wrong_time_is_one_line_at_its_field_and_the_form_stays() -> None:
    query = {"since": "2026", "worker": "h/1"}
    kept, view, text = await shown(**query)
    assert (kept.asked, view["letters"], view["trouble_field"]) == (None, [], "since")
    assert view["filters"]["worker"] == "h/1"
    assert "a field above is wrong" in text
    assert "'2026' is no time" in view["trouble"]
    with pytest.raises(NothingThereError, match="'2026' is no time"):
        await shown(is_data=True, **query)
