"""What a page that changes by itself leaves alone: the focus, and what its reader looks at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.test_pages import goes_to, is_live
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web

PATIENCE_MS = 60_000
SLOW = '''\
"""Says much, and takes its time."""
import time
from collections.abc import Iterator


def tasks() -> Iterator[int]:
    for number in range(100):
        print("line", number)
    yield from range(20_000)
    for number in range(100, 2_000):
        time.sleep(0.1)
        print("line", number)
        yield number


def work(task: int) -> None:
    time.sleep(300 if task % 2 else 0.01)
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with a worker, and a run that goes on for long."""
    expect.set_options(timeout=PATIENCE_MS)
    master = start_master(MASTER_HTTP_PORT="0")
    (master.jobs / "slow.py").write_text(SLOW)
    master.submit("slow")
    master.worker()
    return Web(master)


def is_replaced(page: Page, part: str, times: int = 3) -> None:
    """Waits until a part of the page was made anew so often."""
    page.evaluate(
        """part => { window.made = 0;
            new MutationObserver(() => { window.made += 1; })
                .observe(document.getElementById(part), { childList: true }); }""",
        part,
    )
    page.wait_for_function("times => window.made >= times", arg=times, timeout=PATIENCE_MS)


def keeps_the_focus(page: Page, part: str, element: Locator) -> None:
    element.focus()
    told = element.inner_text()
    is_replaced(page, part)
    assert page.evaluate("document.activeElement.innerText") == told


@pytest.mark.parametrize(
    ("path", "part"), [("/", "rate"), ("/runs/1?span=minute", "rate"), ("/workers", "list")]
)
def test_what_has_the_focus_keeps_it_while_its_part_changes(
    web: Web, visit: Visit, path: str, part: str
) -> None:
    page = visit(web.link)
    goes_to(page, web, path)
    link = page.locator(f"#{part} a[href$='/tasks/2']").first  # task 1 ends at once
    numbers = page.locator(f"#{part} summary").first
    keeps_the_focus(page, part, link if part == "list" else numbers)


def test_what_is_gone_leaves_the_focus_in_its_part_and_what_is_equal_is_left_alone(
    web: Web, visit: Visit
) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs/1")
    is_live(page)
    page.locator("#actions a").first.focus()
    page.evaluate("put('actions', '<p>none</p>')")
    assert page.evaluate("document.activeElement.id") == "actions"
    assert page.evaluate(
        """() => { const html = "<p>one <a href='/x'>link</a></p>";
            put('actions', html);
            const before = document.querySelector('#actions p');
            put('actions', html);
            return before.isConnected; }"""
    )


def test_the_newest_line_of_a_log_is_in_view_until_its_reader_scrolls(
    web: Web, visit: Visit
) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs/1")
    log = page.locator("#printed pre")
    expect(log).to_contain_text("line 110")
    page.reload()
    below = "one => one.scrollHeight - one.clientHeight - one.scrollTop"
    page.wait_for_function("""() => {
        const one = document.querySelector('#printed pre');
        return one.scrollHeight > one.clientHeight + 100; }""")
    assert log.evaluate(below) < 2
    is_replaced(page, "printed", 1)
    assert log.evaluate(below) < 2
    log.evaluate("one => { one.scrollTop = 40; }")
    is_replaced(page, "printed", 1)
    assert log.evaluate("one => one.scrollTop") == 40


def test_a_master_that_has_stopped_is_told_above_the_page_and_nothing_can_be_asked_for(
    web: Web, visit: Visit, watch: Watch, axe: Callable[[Page], None]
) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs/1")
    is_live(page)
    cancel = page.get_by_role("link", name="Cancel", exact=True)
    expect(cancel).to_be_visible()
    web.master.process.terminate()
    expect(page.locator("#banner")).to_contain_text("The master does not answer")
    expect(page.get_by_role("button", name="Log out")).to_be_disabled()
    expect(cancel).to_have_attribute("aria-disabled", "true")
    cancel.dispatch_event("click")
    assert page.url.endswith("/runs/1")
    axe(page)
    page.close()
    watch.faults = [one for one in watch.faults if "ERR_" not in one]  # nobody listens there
    assert "without completing response" not in web.master.process.log


def asks_for_events(page: Page) -> None:
    page.evaluate("source.close(); listen()")


def refuses_events(page: Page, code: int, **headers: str) -> None:
    """Has each request for events refused with this code, and the page ask for some."""
    page.route("**/events?*", lambda route: route.fulfill(status=code, headers=headers))
    asks_for_events(page)


def loses_its_visit(page: Page) -> None:
    page.context.clear_cookies()
    asks_for_events(page)


def test_a_page_whose_visit_has_ended_leads_to_the_login(
    web: Web, visit: Visit, watch: Watch
) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs/1")
    is_live(page)
    loses_its_visit(page)
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.locator("input[name=to]").input_value() == "/runs/1"
    watch.expect("401")


def test_what_was_typed_stays_when_the_visit_has_ended(
    web: Web, visit: Visit, watch: Watch
) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs")
    is_live(page)
    page.get_by_label("Search").fill("half a word")
    loses_its_visit(page)
    expect(page.locator("#banner")).to_contain_text("You are logged out here")
    assert page.get_by_label("Search").input_value() == "half a word"
    watch.expect("401")


def test_a_page_without_room_says_so_and_comes_back(web: Web, visit: Visit, watch: Watch) -> None:
    page = visit(web.link)
    goes_to(page, web, "/runs/1")
    is_live(page)
    refuses_events(page, 503, **{"Retry-After": "3"})
    expect(page.locator("#banner")).to_contain_text("Too many pages are open")
    page.wait_for_timeout(2_500)  # a master that is away would be told by now
    expect(page.locator("#banner")).to_contain_text("Too many pages are open")
    expect(page.get_by_role("button", name="Log out")).to_be_enabled()
    page.unroute("**/events?*")
    is_live(page)
    expect(page.locator("#banner")).to_be_empty()
    watch.expect("503")
