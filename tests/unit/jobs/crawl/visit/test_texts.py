"""What becomes of a text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.crawl.following import Follower
from jobs.crawl.look.links import links_of
from jobs.crawl.site import Site
from jobs.crawl.visit.payload import Visit
from jobs.crawl.visit.texts import MOST_REDIRECTS, _refresh

ADDRESS, TARGET = "http://site.test/a", "http://site.test/b"
PAGE = b"<meta http-equiv=refresh content='0; url=/b'>"


@pytest.mark.parametrize(("hops", "leads"), [(MOST_REDIRECTS - 1, TARGET), (MOST_REDIRECTS, None)])
def test_a_refresh_behind_ten_redirects_is_a_link(
    site: Callable[..., Site], hops: int, leads: str | None
) -> None:
    settings = site()
    payload = {"kind": "page", "url": ADDRESS, "site": settings.packed()}
    payload["hops"] = [f"http://site.test/{number}" for number in range(hops)]
    found = links_of(PAGE, None, ADDRESS)
    assert _refresh(Visit(settings, payload), found) == leads
    follow = Follower(settings, payload).of_page(ADDRESS, found)
    assert [task.payload["url"] for task in follow] == ([] if leads else [TARGET])
    assert all("hops" not in task.payload for task in follow)
