"""What follows from one address: keys, groups, priorities, quotas, depth, hosts, and how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.crawl.following import AGAIN, IMAGE, PAGE, SHEET, Follower, key_of, task_of
from jobs.crawl.handed import Handed
from jobs.crawl.look.found import Found
from jobs.crawl.site import Site, unpacked
from queue_manager import Quota, Result, Task
from queue_manager.wire.records import Done
from worker.ipc.outcomes import branch

START = "http://site.test/"
MOST_PAYLOAD = 1024 * 1024
MakeSite = Callable[..., Site]


def found(pages: tuple[str, ...] = (), sheets: tuple[str, ...] = (), **pictures: str) -> Found:
    shown = {f"http://pics.test/{name}.png": alt for name, alt in pictures.items()}
    return Found(dict.fromkeys(pages), dict.fromkeys(sheets), shown)


def of(site: Site, kind: str = "page", url: str = START, **more: Any) -> Follower:
    return Follower(site, {"kind": kind, "url": url, "site": site.packed(), **more})


def by_key(tasks: list[Task]) -> dict[str | None, Task]:
    assert len({task.key for task in tasks}) == len(tasks)
    return {task.key: task for task in tasks}


def kinds(tasks: list[Task]) -> dict[str, str]:
    return {task.payload["url"]: task.payload["kind"] for task in tasks}


def test_each_address_is_a_key_its_host_a_group_and_pages_have_a_quota(site: MakeSite) -> None:
    settings = site(pages=7)
    page, sheet = "http://site.test/a", "http://css.test/a.css"
    tasks = by_key(of(settings).of_page(START, found((page,), (sheet,), p="the sea")))
    assert tasks[page].group == "site.test"
    assert tasks[page].quota == Quota("pages", 7)
    assert tasks[sheet].group == "css.test"
    picture = tasks["http://pics.test/p.png"]
    assert picture.payload.pop("by")
    assert picture.group == "pics.test"
    assert tasks[sheet].quota is picture.quota is None
    assert PAGE < IMAGE < SHEET < AGAIN
    assert [tasks[page].priority, picture.priority, tasks[sheet].priority] == [PAGE, IMAGE, SHEET]
    assert picture.payload == {
        "kind": "image", "url": "http://pics.test/p.png", "site": settings.packed(),
        "page": START, "depth": 1, "alt": "the sea",
    }  # fmt: skip


def test_pictures_have_a_quota_where_one_is_asked_for(site: MakeSite) -> None:
    settings = site(images=3)
    sheet, linked = "http://css.test/a.css", "http://site.test/large.png"
    tasks = by_key(of(settings).of_page(START, found((linked,), (sheet,), p="")))
    assert tasks["http://pics.test/p.png"].quota == Quota("images", 3)
    assert tasks[linked].quota == Quota("images", 3)
    assert tasks[sheet].quota is None
    (moved,) = of(settings, "image", linked).redirect("http://pics.test/q.png", [linked])
    assert moved.quota == Quota("images", 3)
    (page,) = of(settings, "image", linked, linked=True).as_page()
    assert page.quota == Quota("pages", 1000)


def test_without_any_politeness_there_are_no_groups(site: MakeSite) -> None:
    impolite = site(at_once=0, per_second=0.0, robots=False)
    assert all(task.group is None for task in of(impolite).of_page(START, found((START,), p="")))
    for polite in (site(per_second=0.0, robots=False), site(at_once=0, robots=False),
                   site(at_once=0, per_second=0.0)):  # fmt: skip
        assert task_of(polite, {"kind": "page", "url": START}).group == "site.test"


def test_pages_are_followed_so_deep_and_pictures_of_the_last_ones_too(site: MakeSite) -> None:
    settings, page = site(depth=2), "http://site.test/a"
    follow = of(settings, depth=1).of_page(START, found((page,), p=""))
    assert kinds(follow) == {page: "page", "http://pics.test/p.png": "image"}
    assert follow[0].payload["depth"] == follow[1].payload["depth"] == 2
    follow = of(settings, depth=2).of_page(START, found((page,), ("http://site.test/b",), p=""))
    assert kinds(follow) == {"http://site.test/b": "css", "http://pics.test/p.png": "image"}


def test_pages_of_other_hosts_are_left_unless_they_are_asked_for(site: MakeSite) -> None:
    other = "http://other.test/a"
    assert of(site()).of_page(START, found((other,))) == []
    hosts = ["site.test", "other.test"]
    assert kinds(of(site(hosts=hosts)).of_page(START, found((other,)))) == {other: "page"}
    assert kinds(of(site(hosts=["site.test", "*"])).of_page(START, found((other,)))) == {
        other: "page"
    }


def test_pictures_that_are_linked_are_of_the_site_and_told_by_their_names(site: MakeSite) -> None:
    """What a page shows may come from anywhere, but a link off the site is one."""
    linked = ("http://site.test/A.JPEG", "http://site.test/b.png?size=2", "http://site.test/c")
    elsewhere = "http://other.test/d.png"
    follow = by_key(of(site(depth=0)).of_page(START, found((*linked, elsewhere))))
    assert set(follow) == set(linked[:2])
    assert all(task.payload["kind"] == "image" for task in follow.values())
    assert all(task.payload["linked"] is True for task in follow.values())


def test_a_picture_that_is_shown_and_linked_is_followed_once(site: MakeSite) -> None:
    both = "http://pics.test/p.png"
    (task,) = of(site()).of_page(START, found((both,), p="alt"))
    assert task.payload["alt"] == "alt"
    assert "linked" not in task.payload


def test_what_a_sheet_shows_counts_as_its_pages(site: MakeSite) -> None:
    sheet = of(site(), "css", "http://css.test/a.css", page=START, depth=3)
    follow = sheet.of_sheet(found((), ("http://css.test/b.css",), p=""))
    assert kinds(follow) == {"http://css.test/b.css": "css", "http://pics.test/p.png": "image"}
    assert {(task.payload["page"], task.payload["depth"]) for task in follow} == {(START, 3)}


def test_a_redirect_is_followed_with_what_was_known_of_its_page(site: MakeSite) -> None:
    target = "http://pics.test/b.png"
    follower = of(site(), "image", "http://pics.test/a.png", page=START, alt="x", known={"a": 1})
    (task,) = follower.redirect(target, ["http://pics.test/a.png"])
    assert task.key == target
    assert task.payload["hops"] == ["http://pics.test/a.png"]
    assert (task.payload["page"], task.payload["alt"]) == (START, "x")
    assert "known" not in task.payload


def test_a_page_is_not_followed_off_the_site_but_a_picture_is(site: MakeSite) -> None:
    settings, target = site(), "http://other.test/"
    assert of(settings, url="http://site.test/a").redirect(target, ["http://site.test/a"]) == []
    assert len(of(settings, "image", "http://site.test/a").redirect(target, ["x"])) == 1
    assert len(of(settings, "css", "http://site.test/a").redirect(target, ["x"])) == 1


def test_where_the_start_leads_to_another_host_that_one_is_crawled(site: MakeSite) -> None:
    target = "http://www.site.test/"
    (task,) = of(site()).redirect(target, [START])
    widened = unpacked(task.payload["site"])
    assert widened.hosts == ["site.test", "www.site.test"]
    page = "http://www.site.test/a"
    (below,) = Follower(widened, task.payload).of_page(target, found((page,)))
    assert below.payload["site"] == task.payload["site"]


def test_a_linked_picture_that_is_a_page_has_a_key_and_the_quota_of_a_page(site: MakeSite) -> None:
    address = "http://site.test/File:a.png"
    (task,) = of(site(), "image", address, linked=True, depth=1, page=START).as_page()
    assert task.key == f"page: {address}"
    assert task.quota == Quota("pages", 1000)
    assert task.priority == PAGE
    assert task.payload["kind"] == "page"
    assert "linked" not in task.payload


def test_a_linked_picture_that_is_a_page_elsewhere_or_too_deep_is_no_page_of_the_crawl(
    site: MakeSite,
) -> None:
    wiki = "http://wiki.test/File:a.png"
    assert of(site(), "image", wiki, linked=True, depth=1, page=START).as_page() == []
    deep = "http://site.test/File:a.png"
    assert of(site(depth=1), "image", deep, linked=True, depth=2, page=START).as_page() == []


def unfolded(site: Site, follow: list[Task]) -> list[Task]:
    """What all parcels lead to in the end; none of them larger than the queue takes."""
    ended: list[Task] = []
    assert isinstance(branch(1, 0, Result({}, follow), 0.0, MOST_PAYLOAD), Done)
    for task in by_key(follow).values():
        if task.payload["kind"] == "links":
            assert task.quota is None
            assert task.group is None
            assert task.priority == AGAIN
            ended += unfolded(site, Follower(site, task.payload).of_parcel())
        else:
            ended.append(task)
    return ended


@pytest.mark.parametrize(
    ("count", "length", "alt"),
    [(20_000, 1, ""), (20_000, 90, ""), (3_000, 1, "ä" * 250), (900, 3900, ""), (60_000, 1, "")],
)
def test_too_many_links_go_through_parcels(
    site: MakeSite, count: int, length: int, alt: str
) -> None:
    links = found((), (), **{f"{'x' * length}{number}": alt for number in range(count)})
    direct = of(site()).of_page(START, links)
    assert len(direct) < count
    ended = by_key(unfolded(site(), direct))
    assert set(ended) == set(map(key_of, links.pictures))
    assert {task.payload.get("alt", "") for task in ended.values()} == {alt}
    assert {task.payload["page"] for task in ended.values()} == {START}


def test_parcels_of_a_sheet_and_its_page_have_keys_of_their_own(site: MakeSite) -> None:
    many = found((), (), **{f"x{number}": "" for number in range(40_000)})
    other = found((), (), **{f"y{number}": "" for number in range(40_000)})
    sheet = of(site(), "css", "http://css.test/a.css", page=START, depth=1)
    keys: list[str | None] = []
    for follow in (of(site()).of_page(START, many), sheet.of_sheet(other)):
        parcels = [task for task in follow if task.payload["kind"] == "links"]
        while parcels:
            task = parcels.pop()
            keys.append(task.key)
            below = Follower(site(), task.payload).of_parcel()
            parcels += [task for task in below if task.payload["kind"] == "links"]
    assert len(keys) == len(set(keys)) > 2


def test_what_no_result_can_carry_is_left_out_and_counted(site: MakeSite) -> None:
    links = found((), (), **{f"{'x' * 100}{number}": "" for number in range(100_000)})
    follower = of(site())
    ended = unfolded(site(), follower.of_page(START, links))
    assert 20_000 < len(ended) < 100_000
    assert follower.left_out == 100_000 - len(ended)


def test_what_is_recorded_for_certain_is_not_handed_in_again(site: MakeSite) -> None:
    settings, handed = site(), Handed()
    home, first, second = START, "http://site.test/1", "http://site.test/2"
    payload = {"kind": "page", "url": home, "site": settings.packed()}
    (task,) = Follower(settings, payload, handed).of_page(home, found((first,)))
    again = Follower(settings, payload, handed).of_page(home, found((first,)))
    assert [t.key for t in again] == [first]  # its result may have been lost
    handed.came_from(task.payload["by"])
    below = Follower(settings, task.payload, handed).of_page(first, found((first, second)))
    assert [t.key for t in below] == [second]


def test_a_follow_up_of_one_visit_says_nothing_of_what_another_one_found(site: MakeSite) -> None:
    """The first result was lost, the second visit was elsewhere and found other links."""
    settings, handed, elsewhere = site(), Handed(), Handed()
    urls = [f"http://site.test/{number}" for number in range(2)]
    payload = {"kind": "page", "url": START, "site": settings.packed()}
    Follower(settings, payload, handed).of_page(START, found((urls[0], urls[1])))
    (task,) = Follower(settings, payload, elsewhere).of_page(START, found((urls[0],)))
    handed.came_from(task.payload["by"])
    again = Follower(settings, task.payload, handed).of_page(urls[0], found((urls[1],)))
    assert [t.key for t in again] == [urls[1]]


def test_a_process_that_opens_its_own_parcels_loses_nothing_of_them(site: MakeSite) -> None:
    settings, handed = site(), Handed()
    links = found((), (), **{f"x{number}": "" for number in range(30_000)})
    payload = {"kind": "page", "url": START, "site": settings.packed()}
    todo = Follower(settings, payload, handed).of_page(START, links)
    seen: set[str] = set()
    while todo:
        task = todo.pop()
        handed.came_from(task.payload["by"])
        if task.payload["kind"] == "links":
            todo += Follower(settings, task.payload, handed).of_parcel()
        else:
            seen.add(task.payload["url"])
    assert seen == set(links.pictures)


def test_an_address_that_is_too_long_has_a_task_of_its_own_once(site: MakeSite) -> None:
    long = {
        f"http://{host}.test/{kind}{'x' * 5000}": kind
        for host in ("site", "other")
        for kind in ("page", "image")
    }
    tasks = by_key(of(site()).of_page(START, Found(long=long)))
    assert set(tasks) == {
        key_of(address)
        for address, kind in long.items()
        if (kind, address[7:12]) != ("page", "other")
    }
    for key, task in tasks.items():
        assert (task.payload["kind"], task.payload["url"]) == ("long", key)
        assert task.group is None
        assert task.quota is None
    assert set(by_key(of(site(), "css").of_sheet(Found(long=long)))) == set(tasks)


def test_sitemaps_are_of_the_crawls_hosts_and_have_a_quota(site: MakeSite) -> None:
    named = ["http://site.test/s.xml", "http://other.test/s.xml"]
    (task,) = of(site(), depth=3).of_sitemaps(named)
    assert (task.key, task.group) == ("sitemap: http://site.test/s.xml", "site.test")
    assert task.quota == Quota("sitemaps", 50)
    assert (task.payload["kind"], task.payload["depth"]) == ("sitemap", 0)
    assert len(of(site(hosts=["*"])).of_sitemaps(f"http://a.test/{n}" for n in range(99))) == 50
    assert of(site(depth=0)).of_sitemaps(named) == []
    sitemap = of(site(), "sitemap", named[0])
    assert sitemap.redirect(named[1], [named[0]]) == []
    (moved,) = sitemap.redirect("http://site.test/t.xml", [named[0]])
    assert moved.key == "sitemap: http://site.test/t.xml"
