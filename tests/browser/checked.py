"""axe-core over a page: what people with other eyes, or without a mouse, can't read or reach."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical")


def grave_faults(page: Page) -> list[str]:
    """The faults that are serious or critical: a line each, with up to five places."""
    page.wait_for_load_state("load")  # without its styles a page has other colours
    response = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [_line(one) for one in response["violations"] if one["impact"] in _GRAVE]


def _line(violation: dict[str, Any]) -> str:
    places = [_place(node) for node in violation["nodes"]]
    shown = "; ".join(places[:5]) + (f"; and {len(places) - 5} more" if len(places) > 5 else "")
    return f"{violation['impact']}: {violation['id']}, {violation['help']}: {shown}"


def _place(node: dict[str, Any]) -> str:
    why = " ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]])
    return f"{' '.join(map(str, node['target']))} ({why})"
