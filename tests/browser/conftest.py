"""A real browser, Debian's Chromium, and what every page has to be in it.

`visit(address)` opens a page. The test fails if the page writes an error into the console, raises
one, opens a dialog, or asks for anything off this machine. `axe` and `fits` check a page, `picture`
keeps what it looks like.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import checked, chromium
from tests.browser.served import serving
from tests.browser.watch import Watch, too_wide

PICTURES = Path(__file__).parents[2] / ".cache" / "screenshots"
WIDE, NARROW = 1280, 360
"""The widths of a window and of a small phone, px."""

LOOKS = [(width, dark) for width in (WIDE, NARROW) for dark in (False, True)]
"""What a page is looked at in: how wide it is, and whether it is dark."""

Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests, and puts them behind all others.

    Playwright keeps a loop running in this thread until the session ends, where no test can run
    another one.
    """
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    try:
        path = chromium.find()
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    return {**browser_type_launch_args, "executable_path": path, "args": [*chromium.ARGUMENTS]}


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder on loopback until the test ends: `serve(folder)` is the address."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(serving(folder))


@pytest.fixture
def watch(serve: Callable[[Path], str]) -> Iterator[Watch]:
    """What the browser did in this test; at its end there may be no fault.

    Servers end behind it: a page that still loads its pictures would miss them.
    """
    watch = Watch()
    yield watch
    watch.settle()
    assert watch.faults == []


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], watch: Watch
) -> Callable[..., BrowserContext]:
    """The plug-in's contexts, `context` and `page` too, but watched."""

    def made(**options: Any) -> BrowserContext:
        context = new_context(**options)
        watch.over(context)
        return context

    return made


@pytest.fixture
def visit(new_context: Callable[..., BrowserContext]) -> Visit:
    """Opens an address in a window: `visit(url, width=NARROW, dark=True, scripts=False)`.

    `unprotected=True` switches the page's Content-Security-Policy off, which would hide that a page
    has a script in it.
    """

    def opened(
        address: str | Path,
        *,
        width: int = WIDE,
        dark: bool = False,
        scripts: bool = True,
        unprotected: bool = False,
    ) -> Page:
        context = new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            bypass_csp=unprotected,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        page = context.new_page()
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        # A link with a token leads on by itself, behind the page that it shows first.
        page.wait_for_url(lambda url: "token=" not in url)
        return page

    return opened


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Fails if axe-core finds something serious or critical on a page, which has to run scripts."""

    def check(page: Page) -> None:
        assert checked.grave_faults(page) == []

    return check


@pytest.fixture
def fits() -> Callable[[Page], None]:
    """Fails if a page scrolls sideways."""

    def check(page: Page) -> None:
        assert too_wide(page) == []

    return check


@pytest.fixture
def picture() -> Callable[[Page, str], Path]:
    """Keeps a picture of a whole page, as .cache/screenshots/NAME.png, for people to look at."""

    def taken(page: Page, name: str) -> Path:
        assert re.fullmatch(r"[a-z0-9-]+", name)
        path = PICTURES / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        return path

    return taken


class Window:
    """A window of one width, in the light or in the dark."""

    def __init__(
        self,
        look: tuple[int, bool],
        visit: Visit,
        checks: tuple[Callable[[Page], None], ...],
        picture: Callable[[Page, str], Path],
    ) -> None:
        self.width, self.dark = look
        self._visit, self._checks, self._picture = visit, checks, picture

    def visit(self, address: str | Path) -> Page:
        """Open an address."""
        return self._visit(address, width=self.width, dark=self.dark)

    def check(self, page: Page, name: str = "") -> None:
        """Fail if not everybody can read a page here. name: of its picture, if one is kept."""
        for check in self._checks:
            check(page)
        if name:
            self._picture(page, f"{name}-{'dark' if self.dark else 'light'}-{self.width}")


@pytest.fixture(params=LOOKS, ids=lambda look: f"{'dark' if look[1] else 'light'}-{look[0]}")
def window(
    request: pytest.FixtureRequest,
    visit: Visit,
    axe: Callable[[Page], None],
    fits: Callable[[Page], None],
    picture: Callable[[Page, str], Path],
) -> Window:
    """Each window in which a page of ours has to be readable."""
    return Window(request.param, visit, (axe, fits), picture)
