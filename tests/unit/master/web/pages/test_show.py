"""The events of a page: one without live parts is never loaded for them."""

from __future__ import annotations

import json
from typing import Any, cast

from starlette.requests import Request

from master.web.access.cookies import Cookies, Visitor
from master.web.access.tokens import Right, Tokens
from master.web.link.recent import Recent
from master.web.live.events import Events
from master.web.live.hub import Hub
from master.web.pages.page import Asked, Desk, Page, View
from master.web.pages.show import Shows
from master.web.text.templates import Templates
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from tests.unit.master.web.loops import in_loop


class Refuses:
    """A master that refuses all."""

    away_since = None

    async def ask(self, make: Any, answer: type[Any]) -> Any:
        raise RefusedError("the disk is full")


async def never(asked: Asked) -> View:
    raise AssertionError("it was loaded")


async def empty(asked: Asked) -> View:
    return {}


def shows() -> Shows:
    master = cast(Any, Refuses())
    desk = Desk(master, Recent(master), cast(Any, None), load_settings({}))
    pages = [
        Page("/still", "still", (), never),
        Page("/other/{n:int}", "other", (), never),
        Page("/live", "live", ("numbers",), empty),
    ]
    return Shows(desk, Templates(), Cookies(Tokens("read", "act")), Hub(), pages)


async def events(of: Shows, page: str) -> Events:
    query = f"page={page}".encode()
    request = Request({"type": "http", "method": "GET", "headers": [], "query_string": query})
    request.state.visitor = Visitor(Right.READ)
    found = await of._events(request)
    assert isinstance(found, Events)
    return found


@in_loop
async def test_a_page_without_parts_is_not_loaded_and_shows_how_the_master_is() -> None:
    of = shows()
    parts = await (await events(of, "/still?job=slow"))._render()
    assert list(parts) == ["banner"]
    assert "the disk is full" in parts["banner"]


@in_loop
async def test_all_pages_without_parts_are_one_topic() -> None:
    of = shows()
    keys = {(await events(of, page))._key for page in ("/still", "/still?job=a", "/other/7")}
    assert len(keys) == 1
    assert (await events(of, "/live"))._key not in keys


@in_loop
async def test_a_page_knows_whether_a_program_asks() -> None:
    async def load(asked: Asked) -> View:
        return {"is_data": asked.is_data}

    request = Request({"type": "http", "method": "GET", "headers": [], "query_string": b""})
    request.scope["path_params"] = {}
    request.state.visitor = Visitor(Right.READ)
    answer = await shows()._json(Page("/kind", "kind", (), load))(request)
    assert json.loads(answer.body) == {"is_data": True}
