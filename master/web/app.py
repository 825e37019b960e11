"""The application: routes, and what each request passes on its way to them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from queue_manager.errors import RefusedError
from queue_manager.settings import Settings

from .access.cookies import Cookies
from .access.ended import Ended
from .access.gate import Gate
from .access.headers import Bodies, Headers
from .access.hosts import Hosts
from .access.login import Login
from .access.proxy import Proxied
from .access.refusals import Refusals
from .access.tokens import Tokens
from .actions.action import Action
from .actions.acts import Acts
from .actions.ending import CANCEL, FORGET
from .actions.retry import RETRY
from .actions.retry_runs import RETRY_RUNS
from .actions.schedule import ADD, PAUSE, REMOVE, RESUME
from .actions.submit import SUBMIT
from .files.serving import Files
from .link.master import AwayError, BusyError, Master
from .link.recent import Recent
from .live.hub import Hub
from .live.rates import Rates
from .metrics.scrape import Scrape
from .pages.failures import FAILURES, RUN_FAILURES
from .pages.folder import FOLDER
from .pages.overview import OVERVIEW
from .pages.page import Desk, Page
from .pages.run import RUN
from .pages.runs import RUNS
from .pages.schedules import SCHEDULES
from .pages.show import Shows
from .pages.submit import SUBMIT_PAGE
from .pages.task import TASK
from .pages.tasks import TASKS
from .pages.workers import WORKERS
from .text.templates import Templates
from .visits import tell_seldom

STATIC = Path(__file__).resolve().parent / "static"

PAGES: tuple[Page, ...] = (
    OVERVIEW,
    RUNS,
    RUN,
    TASK,
    TASKS,
    FAILURES,
    RUN_FAILURES,
    WORKERS,
    SCHEDULES,
    SUBMIT_PAGE,
    FOLDER,
)
"""All pages, in the order of the navigation."""


ACTIONS: tuple[Action, ...] = (
    RETRY,
    RETRY_RUNS,
    CANCEL,
    FORGET,
    SUBMIT,
    ADD,
    PAUSE,
    RESUME,
    REMOVE,
)
"""All that a visitor can have done."""


def make_app(
    settings: Settings,
    master: Master,
    tokens: Tokens,
    ended: Ended | None = None,
    now: Callable[[], float] = time.time,
) -> ASGIApp:
    """The application for a master, with everything that it passes on the way.

    ended: the visits that have ended by a log-out. now: the master's time, UTC epoch in seconds.
    """
    cookies, hub = Cookies(tokens, ended, now), Hub()
    desk = Desk(master, Recent(master), Rates(wall=now), settings, now)
    shows = Shows(desk, Templates(), cookies, hub, PAGES)
    login = Login(tokens, cookies, shows.html, hub.end)
    routes = [
        *shows.routes(),
        *Acts(desk, cookies, shows.html, shows.refused, login.ask, ACTIONS).routes(),
        *Files(settings.http_files, desk.disk).routes(),
        *_health(desk),
        *Scrape(desk.recent).routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return _behind_gate(settings, tokens, cookies, login, shows, routes, _Keeping(master, hub))


def _behind_gate(
    settings: Settings,
    tokens: Tokens,
    cookies: Cookies,
    login: Login,
    shows: Shows,
    routes: Sequence[BaseRoute],
    keeping: _Keeping,
) -> ASGIApp:
    gate: Gate

    def the_gate() -> Gate:
        return gate

    refusals = Refusals(shows.refused)
    app = Starlette(
        routes=[*routes, *login.routes(the_gate)],
        lifespan=keeping.lifespan,
        exception_handlers={HTTPException: refusals, Exception: refusals.broken},
    )
    gate = Gate(app, tokens, cookies, Hosts(settings.http_hosts), login.ask, refusals)
    ours = Headers(Bodies(gate))
    return Proxied(ours) if settings.http_plain else ours


class _Keeping:
    """What goes on beside the requests: the session with the master, and the loop of the pages."""

    def __init__(self, master: Master, hub: Hub) -> None:
        self._master, self._hub = master, hub

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Begins with the server and ends with it."""
        tell_seldom(asyncio.get_running_loop())
        tasks = [asyncio.create_task(one) for one in (self._master.run(), self._hub.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _health(desk: Desk) -> list[Route]:
    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        try:
            await desk.recent.status()
        except (AwayError, BusyError, RefusedError) as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse("ok\n")

    return [Route("/healthz", alive), Route("/readyz", ready)]
