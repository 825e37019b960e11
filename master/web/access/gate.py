"""The gate: each request passes it before any page sees it.

It looks at the name that the request asks for, at where it comes from, and at its token or cookie.
Behind the gate, `request.state.visitor` says who it is.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .cookies import Cookies, Visitor
from .hosts import Hosts
from .onward import leads_on
from .refusals import ONLY_READS, Refusals, is_page, told
from .tokens import Right, Tokens

OPEN = ("/healthz", "/readyz")
"""What everyone may ask, under any name."""

_PUBLIC = ("/static/", "/login")
"""What whoever knows the name of the host may ask."""

_PROGRAMS = ("/api/", "/metrics")
"""Where a program shows the token in the header Authorization."""

_READING = ("GET", "HEAD")

Refuse = Callable[[HTTPConnection, str, int], Response]


class Gate:
    """Passes on what may pass.

    refuse: makes the page that asks for a token; it gets the request, what is wrong, and the code.
    refusals: tell a line.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        cookies: Cookies,
        hosts: Hosts,
        refuse: Refuse,
        refusals: Refusals,
    ) -> None:
        self._app = app
        self._tokens, self._cookies, self._hosts = tokens, cookies, hosts
        self._refuse, self._refusals = refuse, refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._look(HTTPConnection(scope))
            await (answer or self._app)(scope, receive, send)
        else:  # nothing here speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})

    def _look(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that may not pass; None lets it pass, with its visitor noted."""
        path, reads = request.url.path, request.scope["method"] in _READING
        visitor = self._visitor(request)
        request.state.visitor = visitor
        if path in OPEN and reads:
            return None
        if visitor.right and not visitor.proof:  # a program: no browser sends a token by itself
            return None if reads or visitor.right is Right.ACT else self._reads(request)
        host = request.headers.get("host", "")
        if not self._hosts.knows(host):
            # Another site may have given its name our address.
            line = f"no pages under the name {host[:100]!r}: add it to HTTP_HOSTS"
            return self._foreign(request, line, 421)
        known = visitor.right or is_page(request) or "origin" in request.headers
        if not reads and not known:
            return _tells_of_token(request)  # a program, as browsers say where they come from
        if not reads and not self._hosts.is_own(
            host, request.headers.get("origin", ""), request.headers.get("sec-fetch-site", "")
        ):
            return self._foreign(request, "this comes from a page of another site", 403)
        if reads and "token" in request.query_params and _takes_links(request):
            return self._with_cookie(request)
        if path.startswith(_PUBLIC):
            return None
        return self._check(request, visitor, reads)

    def _foreign(self, request: HTTPConnection, line: str, code: int) -> Response:
        """The answer to what another site asks for: its page shows nothing of the visitor's."""
        request.state.visitor = Visitor(Right.NONE, "", request.state.visitor.address)
        return self._refusals.tell(request, line, code)

    def _check(self, request: HTTPConnection, visitor: Visitor, reads: bool) -> Response | None:
        if not visitor.right:
            if not is_page(request):
                return _tells_of_token(request)
            return self._refuse(request, "", 401)
        may = reads or visitor.right is Right.ACT or request.url.path == "/logout"
        return None if may else self._reads(request)

    def _reads(self, request: HTTPConnection) -> Response:
        """The answer to whoever may look, and wants to change something."""
        if is_page(request):
            return self._refuse(request, "reads", 403)
        return told(request, ONLY_READS, 403)

    def _visitor(self, request: HTTPConnection) -> Visitor:
        address = request.client.host if request.client else "?"
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and request.url.path.startswith(_PROGRAMS):
            return Visitor(self._tokens.right_of(token.strip()), "", address)
        right, value = self._cookies.read(request.headers.get("cookie", ""), self._cookies.now())
        return Visitor(right, value if right else "", address)

    def _with_cookie(self, request: HTTPConnection) -> Response:
        """The clean address, for whoever has followed the link with the token."""
        right = self._tokens.right_of(request.query_params["token"])
        if not right:
            return self._refuse(request, "wrong", 401)
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        query = f"?{urlencode(rest)}" if rest else ""
        # Whoever has followed it on another site would be led on without the cookie.
        return leads_on(own_path(request.url.path) + query, self._cookie(request, right))

    def admit(self, request: HTTPConnection, right: Right, to: str) -> Response:
        """Give a cookie, and lead on to a path of ours."""
        return RedirectResponse(to, 303, self._cookie(request, right))

    def _cookie(self, request: HTTPConnection, right: Right) -> dict[str, str]:
        secure = request.url.scheme == "https"
        return {"Set-Cookie": self._cookies.header(right, self._cookies.now(), secure)}


def own_path(path: str) -> str:
    """A path that stays on this host: `//other.example` would not."""
    return "/" + path.replace("\\", "/").lstrip("/")


def query_without_token(query: QueryParams) -> str:
    """The query of an address that a page may show."""
    return urlencode([pair for pair in query.multi_items() if pair[0] != "token"])


def _takes_links(request: HTTPConnection) -> bool:
    """Whether a link with a token may lead there: to pages alone."""
    return is_page(request) and not request.url.path.startswith(_PUBLIC)


def _tells_of_token(request: HTTPConnection) -> Response:
    """What a program is told that has no token, or a wrong one."""
    wrong = "authorization" in request.headers
    line = "this token opens nothing" if wrong else "a token is needed"
    line += ": `qm dashboard` prints the right one"
    return told(request, line, 401, {"WWW-Authenticate": "Bearer"})
