"""Answers requests for actions: a form asks once, then it is done, told and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from queue_manager.errors import RefusedError
from queue_manager.log_lines import about
from queue_manager.terminal import harmless_line

from ..access.cookies import Cookies, Visitor
from ..access.forms import FIELD, form_of
from ..access.gate import Refuse
from ..access.notes import Note, Notes
from ..access.refusals import API, Refused
from ..access.tokens import Right
from ..link.master import AwayError, BusyError
from ..pages.page import Asked, Desk, NothingThereError
from .action import Action, FieldError, Fields, Outcome

log = logging.getLogger("quartermaster.web")

JSON = "application/json"
"""No form of another site can send this type."""

UNKNOWN = (
    "the master does not answer, and nobody knows whether it has carried this out: look at what you"
    " wanted to change before you ask again"
)

UNSENT = "the master does not answer; nothing was sent to it, so ask again in a moment"

_Atom = str | int | float | bool | None
_decoder = msgspec.json.Decoder(dict[str, _Atom | list[_Atom]])

Html = Callable[..., Response]


class Acts:
    """The routes of all actions. html: renders a template for a request, as `Shows.html`.

    refuse: as of `Gate`.
    """

    def __init__(
        self,
        desk: Desk,
        cookies: Cookies,
        html: Html,
        refused: Refused,
        refuse: Refuse,
        actions: Sequence[Action],
    ) -> None:
        self._desk, self._cookies, self._html = desk, cookies, html
        self._refused, self._refuse = refused, refuse
        self._notes = Notes(cookies)
        self._actions = actions

    def routes(self) -> list[Route]:
        """Two for each action: for people, and for programs."""
        forms = [Route(a.path, self._form(a), methods=["GET", "POST"]) for a in self._actions]
        return [*forms, *(Route(a.api, self._json(a), methods=["POST"]) for a in self._actions)]

    # --- for people ---

    def _form(self, action: Action) -> Any:
        async def answer(request: Request) -> Response:
            if request.state.visitor.right is not Right.ACT:
                return self._refuse(request, "reads", 403)
            try:
                if request.method == "POST":
                    return await self._posted(action, request)
                fields = Fields(request.query_params.multi_items())
                return await self._asking(action, request, fields)
            except AwayError as error:
                posted = request.method == "POST"
                view = {"since": error.since, "unknown": posted and error.sent, "posted": posted}
                return self._html(request, "act/away.html", view, 503)
            except (NothingThereError, RefusedError) as error:
                code = 503 if isinstance(error, BusyError) else 404
                return self._refused(request, str(error), code, None)
            except FieldError as error:  # of a form that can't be shown, because of that field
                return self._refused(request, str(error), 400, None)

        return answer

    async def _asking(
        self, action: Action, request: Request, fields: Fields, error: Exception | None = None
    ) -> Response:
        """The form. error: what is wrong with what was typed into it."""
        view = await action.show(self._asked(request), fields)
        wrong = error.field if isinstance(error, FieldError) else ""
        trouble = {"fields": fields, "trouble": str(error or ""), "trouble_field": wrong}
        code = 200 if error is None else _code(error)
        return self._html(request, f"act/{action.name}.html", {**trouble, **view}, code)

    async def _posted(self, action: Action, request: Request) -> Response:
        form = await form_of(request, self._cookies)
        pairs = [(name, text) for name, text in form.multi_items() if isinstance(text, str)]
        fields = Fields(((name, text) for name, text in pairs if name != FIELD), typed=True)
        try:
            outcome = await self._carried_out(action, request, fields)
        except (FieldError, RefusedError) as error:
            return await self._asking(action, request, fields, error)
        note = Note(action.name, dict(outcome.of))
        secure = request.url.scheme == "https"
        header = self._notes.header(request.state.visitor, note, secure)
        return RedirectResponse(outcome.to, 303, {"Set-Cookie": header})

    # --- for programs ---

    def _json(self, action: Action) -> Any:
        async def answer(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != JSON:
                return JSONResponse({"error": f"send the fields as {JSON}"}, 415)
            try:
                fields = _fields_of(await request.body(), action)
                outcome = await self._carried_out(action, request, fields)
            except AwayError as error:
                return JSONResponse({"error": UNKNOWN if error.sent else UNSENT}, 503)
            except FieldError as error:
                return JSONResponse({"error": str(error), "field": error.field}, _code(error))
            except (NothingThereError, RefusedError) as error:
                return JSONResponse({"error": str(error)}, _code(error))
            return JSONResponse({**outcome.of, "page": outcome.to})

        return answer

    # --- for both ---

    async def _carried_out(self, action: Action, request: Request, fields: Fields) -> Outcome:
        try:
            outcome = await action.carry_out(self._asked(request), fields)
        finally:
            self._desk.recent.forget()
        visitor: Visitor = request.state.visitor
        if outcome.line:
            line = harmless_line(outcome.line)
            log.info("%s, asked by %s", line, visitor.name, extra=_about(outcome))
        return outcome

    def _asked(self, request: Request) -> Asked:
        query = dict(request.query_params)
        visitor: Visitor = request.state.visitor
        is_data = request.url.path.startswith(API)
        return Asked(
            self._desk,
            request.path_params,
            query,
            visitor.right,
            visitor.proof or visitor.name,
            is_data=is_data,
            by=visitor.name,
            traceparent=request.headers.get("traceparent", "") if is_data else "",
        )


def _about(outcome: Outcome) -> dict[str, Any]:
    """What the line of an outcome is about, for the log as JSON."""
    known: dict[str, Any] = {name: outcome.of.get(name) or None for name in ("run", "task")}
    return about(job=outcome.job, **known)


def _code(error: Exception) -> int:
    if isinstance(error, NothingThereError):
        return 404
    if isinstance(error, BusyError):
        return 503
    return 400 if isinstance(error, FieldError) else 409


def _fields_of(body: bytes, action: Action) -> Fields:
    """The fields in a JSON object. Raises FieldError."""
    try:
        sent = _decoder.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldError("", f"this is no JSON object of fields: {error}") from None
    for name in sent:
        if action.fields is not None and name not in action.fields:
            known = ", ".join(action.fields) or "none"
            raise FieldError(name[:100], f"there is no field {name[:100]!r}; there are: {known}")
    return Fields(
        (name, _text(atom))
        for name, value in sent.items()
        for atom in (value if isinstance(value, list) else [value])
    )


def _text(atom: _Atom) -> str:
    if isinstance(atom, bool):
        return "true" if atom else "false"
    return "" if atom is None else str(atom)
