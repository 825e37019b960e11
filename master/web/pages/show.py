"""Answers requests for pages: as HTML, as JSON, and as events for those who look at them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route

from queue_manager import __version__
from queue_manager.errors import QueueError, RefusedError

from ..access.cookies import Cookies, Visitor
from ..access.gate import query_without_token
from ..access.notes import Notes
from ..access.tokens import Right
from ..files.disk import SlowDiskError
from ..link.master import AwayError, BusyError
from ..live.events import Events
from ..live.hub import Hub, Parts
from ..text.templates import Templates
from .page import Asked, Desk, ElsewhereError, NothingThereError, Page, View

_RETRY_S = "3"


class Shows:
    """The routes of all pages. pages: in the order of the navigation."""

    def __init__(
        self, desk: Desk, templates: Templates, cookies: Cookies, hub: Hub, pages: Sequence[Page]
    ) -> None:
        self._desk, self._templates, self._cookies, self._hub = desk, templates, cookies, hub
        self._notes = Notes(cookies)
        self._nav = [(page.path, page.label) for page in pages if page.label]
        self._pages = {page.name: page for page in pages}
        self._paths = [Route(page.path, self._page(page), name=page.name) for page in pages]

    def routes(self) -> list[Route]:
        """One for each page, one for its JSON, and one for all events."""
        apis = [Route(page.api, self._json(page)) for page in self._pages.values()]
        return [*self._paths, *apis, Route("/events", self._events)]

    # --- as HTML ---

    def _page(self, page: Page) -> Any:
        async def show(request: Request) -> Response:
            try:
                asked = self._asked(request, request.path_params, dict(request.query_params))
                view = await page.load(asked)
            except AwayError as error:
                away = {"since": error.since}
                return self.html(request, "away.html", away, 503, {"Retry-After": _RETRY_S})
            except ElsewhereError as error:
                return RedirectResponse(error.to, 303)
            except (NothingThereError, RefusedError) as error:
                return self.refused(request, str(error), _code(error))
            return self.html(request, f"{page.name}.html", view)

        return show

    def html(
        self,
        request: HTTPConnection,
        template: str,
        view: Mapping[str, Any],
        code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A whole page for whoever asks."""
        visitor: Visitor = request.state.visitor
        language = self._language(request)
        query = query_without_token(request.query_params)
        note = self._notes.read(visitor, request.headers.get("cookie", ""))
        gone = {"Set-Cookie": self._notes.gone()} if note else {}
        frame = {
            "nav": self._nav,
            "path": request.url.path,
            "here": f"{request.url.path}?{query}" if query else request.url.path,
            "may_act": visitor.right is Right.ACT,
            "visitor": visitor,
            "form_key": self._cookies.form_field(visitor) if visitor.proof else "",
            "away_since": self._desk.master.away_since,
            "version": __version__,
            "said": note,
        }
        text = self._templates.render(template, language, {**frame, **view})
        return HTMLResponse(
            text, code, {"Vary": "Accept-Language, Cookie", **gone, **(headers or {})}
        )

    def refused(
        self,
        request: HTTPConnection,
        line: str,
        code: int,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A page with one line that refuses, and ways back."""
        return self.html(request, "refused.html", {"line": line, "code": code}, code, headers)

    def _language(self, request: HTTPConnection) -> str:
        return self._templates.language_of(request.headers.get("accept-language", ""))

    def _asked(
        self,
        request: HTTPConnection,
        words: Mapping[str, Any],
        query: Mapping[str, str],
        is_data: bool = False,
    ) -> Asked:
        visitor: Visitor = request.state.visitor
        return Asked(self._desk, words, query, visitor.right, is_data=is_data)

    # --- as JSON ---

    def _json(self, page: Page) -> Any:
        async def show(request: Request) -> Response:
            try:
                query = dict(request.query_params)
                asked = self._asked(request, request.path_params, query, is_data=True)
                view = await page.load(asked)
            except AwayError as error:
                away = {"error": str(error), "since": error.since}
                return JSONResponse(away, 503, {"Retry-After": _RETRY_S})
            except ElsewhereError as error:
                return RedirectResponse(f"/api{error.to}", 303)
            except (NothingThereError, RefusedError) as error:
                return JSONResponse({"error": str(error)}, _code(error))
            return Response(as_json(view), media_type="application/json")

        return show

    # --- as events ---

    async def _events(self, request: Request) -> Response | Events:
        found = self._found(request.query_params.get("page", ""))
        if found is None:
            return JSONResponse({"error": "there is no such page"}, 404)
        page, words, query = found
        try:
            asked = self._asked(request, words, query)
        except NothingThereError as error:
            return JSONResponse({"error": str(error)}, 404)
        language = self._language(request)
        if not page.parts:  # all pages without parts are one topic, whatever their address
            banner = functools.partial(self._banner, language)
            return Events(self._hub, language, banner, request.state.visitor.proof)
        key = (page.name, *sorted(words.items()), *sorted(query.items()), language, asked.right)
        parts = functools.partial(self._parts, page, asked, language)
        return Events(self._hub, key, parts, request.state.visitor.proof)

    def _found(self, address: str) -> tuple[Page, dict[str, Any], dict[str, str]] | None:
        """The page at an address, the words in its path, and its query."""
        try:
            split = urlsplit(address)
        except ValueError:
            return None
        scope = {"type": "http", "method": "GET", "path": split.path}
        for route in self._paths:
            match, child = route.matches(scope)
            if match is Match.FULL:
                query = dict(parse_qsl(split.query, keep_blank_values=True))
                return self._pages[route.name], child["path_params"], query
        return None

    async def _banner(self, language: str) -> Parts:
        """What a page without live parts has: whether the master answers."""
        trouble: QueueError | None = None
        try:
            await self._desk.recent.status()
        except QueueError as error:
            trouble = error
        view = _banner_of(trouble)
        return {"banner": self._templates.render("banner.html", language, view)}

    async def _parts(self, page: Page, asked: Asked, language: str) -> Parts:
        """The live parts of a page, and the banner that every page has."""
        view: View = {"may_act": asked.right is Right.ACT}
        trouble: QueueError | None = None
        shown: tuple[str, ...] = page.parts
        try:
            view |= await page.load(asked)
        except QueueError as error:
            trouble, shown = error, ()
        view |= _banner_of(trouble)
        render = functools.partial(self._templates.render, language=language, view=view)
        parts = {name: render(f"{page.name}/{name}.html") for name in shown}
        return {"banner": render("banner.html"), **parts}


def _banner_of(trouble: QueueError | None) -> View:
    """What the banner says: since when the master is away, or one line; nothing without trouble."""
    if isinstance(trouble, AwayError):
        return {"since": trouble.since, "line": ""}
    return {"since": None, "line": "" if trouble is None else str(trouble)}


def _code(error: QueueError) -> int:
    return 503 if isinstance(error, BusyError | SlowDiskError) else 404


def as_json(view: View) -> bytes:
    """Plain data and structs as JSON. Structs that are lists on the wire are objects here."""
    named = _named(view)
    try:
        return msgspec.json.encode(named)
    except UnicodeEncodeError:  # a lone surrogate, which JSON writes as `\\ud800`
        return json.dumps(named, default=msgspec.to_builtins).encode("ascii")


def _named(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): _named(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named(item) for item in value]
    return value
