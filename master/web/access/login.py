"""The page that asks for a token, and the end of a visit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .cookies import Cookies
from .forms import form_of
from .gate import Gate, own_path, query_without_token
from .onward import once_more
from .tokens import Tokens

_FIELDS = 10

Show = Callable[[HTTPConnection, str, Mapping[str, Any], int], Response]


class Login:
    """show: renders a template for a request, with what it shows and a code. gone: is told of the
    proof of a visitor who has logged out."""

    def __init__(
        self, tokens: Tokens, cookies: Cookies, show: Show, gone: Callable[[str], None]
    ) -> None:
        self._tokens, self._cookies, self._show = tokens, cookies, show
        self._gone = gone

    def routes(self, gate: Callable[[], Gate]) -> list[Route]:
        """Where one comes in and goes out."""

        async def enter(request: Request) -> Response:
            if request.method == "GET":
                if "to" in request.query_params and request.state.visitor.right:
                    return RedirectResponse(own_path(request.query_params["to"]), 303)
                return self.ask(request, "", 200)
            form = await request.form(max_files=0, max_fields=_FIELDS)
            right = self._tokens.right_of(str(form.get("token", "")).strip())
            to = own_path(str(form.get("to", "/")))
            return gate().admit(request, right, to) if right else self.ask(request, "wrong", 401)

        async def leave(request: Request) -> Response:
            await form_of(request, self._cookies)
            await self._cookies.end(request.state.visitor, self._cookies.now())
            self._gone(request.state.visitor.proof)
            return RedirectResponse("/login", 303, {"Set-Cookie": self._cookies.gone()})

        return [
            Route("/login", enter, methods=["GET", "POST"]),
            Route("/logout", leave, methods=["POST"]),
        ]

    def ask(self, request: HTTPConnection, trouble: str, code: int) -> Response:
        """The page that asks for a token. trouble: `wrong` if one was shown that is wrong.

        `reads` if it is one for looking, and that was not enough.
        """
        query = query_without_token(request.query_params)
        path = request.url.path
        if path == "/login":
            to, again = own_path(request.query_params.get("to", "/")), ""
        else:
            to = own_path(path) + (f"?{query}" if query else "")
            again = "" if trouble else once_more(request, to)
        view = {"trouble": trouble, "to": to, "again": again}
        return self._show(request, "login.html", view, code)
