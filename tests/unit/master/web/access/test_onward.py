"""A visitor who comes from another site asks once more, and never for ever."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from master.web.access.onward import leads_on, once_more


def asked(method: str = "GET", **headers: str) -> HTTPConnection:
    sent = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return HTTPConnection({"type": "http", "method": method, "headers": sent})


@pytest.mark.parametrize("site", ["cross-site", ""])
def test_who_may_come_from_another_site_asks_once_more(site: str) -> None:
    request = asked(sec_fetch_site=site) if site else asked()
    assert (
        once_more(request, "/runs?state=failed&x=1") == "/login?to=%2Fruns%3Fstate%3Dfailed%26x%3D1"
    )


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_whoever_had_sent_the_cookie_does_not(site: str) -> None:
    assert once_more(asked(sec_fetch_site=site), "/runs/1") == ""


def test_only_a_page_that_was_looked_at_is_asked_for_once_more() -> None:
    assert once_more(asked("POST"), "/runs/1/cancel") == ""


def test_an_address_does_not_end_its_attribute() -> None:
    body = bytes(leads_on('/"><script>', {}).body).decode()
    assert "<script>" not in body
