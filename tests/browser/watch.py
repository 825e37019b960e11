"""What a browser does while a test looks at pages, and what of it is a fault of the page."""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Route, WebError

_HERE = re.compile(r"(file|data|about|blob):|(https?|wss?)://(127\.0\.0\.1|localhost|\[::1\])[:/]")


def is_here(url: str) -> bool:
    """Whether an address is a file or is on this machine."""
    return _HERE.match(url) is not None


class Watch:
    """Notes the faults of all pages of some contexts, and lets no request off this machine.

    A test that wants a fault takes it out of `faults`.

    Attributes:
        faults: one line for each: an error or a warning in the console, an exception of a script, a
            dialog, a request to elsewhere.
        requests: the addresses that were asked for, in order.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._contexts: list[BrowserContext] = []

    def over(self, context: BrowserContext) -> None:
        """Watch all pages of this context, those too that it opens later."""
        self._contexts.append(context)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("dialog", self._dialog)
        context.on("request", lambda request: self.requests.append(request.url))
        context.route(lambda url: not is_here(url), self._elsewhere)

    def settle(self) -> None:
        """Hear of everything that the pages have done until now."""
        for page in [page for context in self._contexts for page in context.pages]:
            page.title()  # its answer comes behind what the browser has told before

    def expect(self, words: str) -> None:
        """Take out the faults that have these words. There has to be one."""
        self.settle()
        found = [fault for fault in self.faults if words in fault]
        assert found, f"no fault has {words!r}: {self.faults}"
        self.faults = [fault for fault in self.faults if fault not in found]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.faults.append(f"console {message.type}: {message.text}")

    def _error(self, error: WebError) -> None:
        self.faults.append(f"exception: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def _elsewhere(self, route: Route) -> None:
        self.faults.append(f"request to {route.request.url}")
        route.abort()


def reached_by_keys(page: Page, most: int = 200) -> list[str]:
    """What the Tab key comes to, in order: the text or the label of each element, else its tag.

    Raises:
        AssertionError: an element has the focus and does not show it.
    """
    reached: list[str] = []
    first = None
    for _ in range(most):
        page.keyboard.press("Tab")
        at = page.evaluate(_FOCUSED)
        if at is None or at["number"] == first:
            break
        first = at["number"] if first is None else first
        assert at["seen"], f"nothing shows that {at['name']!r} has the focus"
        reached.append(at["name"])
    return reached


_FOCUSED = """() => {
    const it = document.activeElement;
    if (!it || it === document.body || it === document.documentElement) return null;
    const style = getComputedStyle(it);
    return {
        number: [...document.querySelectorAll("*")].indexOf(it),
        name: it.getAttribute("aria-label") || it.innerText.trim() || it.querySelector("img")?.alt || it.localName,
        seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
    };
}"""  # noqa: E501


def too_wide(page: Page) -> list[str]:
    """What makes a page scroll sideways: the elements that stick out, outermost first."""
    page.wait_for_load_state("load")  # without its styles a page has another width
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found


_TOO_WIDE = """() => {
    const root = document.scrollingElement, width = root.clientWidth;
    if (root.scrollWidth <= width) return [];
    const out = [...document.querySelectorAll("*")].filter((it) => it.getBoundingClientRect().right > width + 0.5);
    const outermost = out.filter((it) => !out.includes(it.parentElement) || out.length < 5);
    return [`${root.scrollWidth} px of ${width}`, ...outermost.map((it) => it.outerHTML.slice(0, 200))];
}"""  # noqa: E501
