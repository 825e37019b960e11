"""robots.txt, by RFC 9309."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.crawl.fetch.client import FetchError, retry_after_s
from jobs.crawl.fetch.guard import ForbiddenAddressError
from jobs.crawl.keep.files import Store
from jobs.crawl.rules import MOST_BYTES, Rules, RulesOfHosts, UnreachableRulesError
from queue_manager import Limit

ORIGIN = "http://site.test"
AGENT = "Quartermaster/1.0 (crawls images)"
ROBOTS = f"{ORIGIN}/robots.txt"


@dataclass
class Said:
    """An answer of the fake client."""

    status: int = 200
    text: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def first(self, most: int) -> bytes:
        body = self.text.encode() if isinstance(self.text, str) else self.text
        return body[:most]


class FakeClient:
    """Answers from a table, and keeps what it was asked."""

    def __init__(self, answers: Mapping[str, Said | Exception]) -> None:
        self.answers, self.asked = answers, []  # type: ignore[var-annotated]

    async def get(self, address: str, max_bytes: int) -> AbstractContextManager[Said]:
        self.asked.append(address)
        answer = self.answers[address]
        if isinstance(answer, Exception):
            raise answer
        return nullcontext(answer)


def rules(text: str) -> Rules:
    return Rules(text, AGENT, time.time())


def fetched(folder: Path, answer: Said | Exception | Mapping[str, Any], run: str = "1") -> Rules:
    answers = answer if isinstance(answer, Mapping) else {ROBOTS: answer}
    client: Any = FakeClient(answers)
    return asyncio.run(RulesOfHosts(Store(folder), run, AGENT).fetch(client, ORIGIN))


def test_what_is_disallowed_is_not_allowed() -> None:
    read = rules("User-agent: *\nDisallow: /private/\nAllow: /private/open\n")
    assert read.allow(f"{ORIGIN}/")
    assert not read.allow(f"{ORIGIN}/private/a")
    assert read.allow(f"{ORIGIN}/private/open/a")


def test_the_group_of_our_agent_goes_before_that_of_all() -> None:
    read = rules("User-agent: quartermaster\nDisallow: /ours\n\nUser-agent: *\nDisallow: /\n")
    assert read.allow(f"{ORIGIN}/")
    assert not read.allow(f"{ORIGIN}/ours")


@pytest.mark.parametrize("text", ["", "\n\n", "<html>no robots</html>", "Disallow: /"])
def test_what_says_nothing_allows_all(text: str) -> None:
    assert rules(text).allow(f"{ORIGIN}/a")
    assert rules(text).every_s == 0.0


@pytest.mark.parametrize(
    ("line", "every_s"),
    [
        ("Crawl-delay: 2", 2.0),
        ("Crawl-delay: 0.5", 0.5),
        ("Request-rate: 1/5", 5.0),
        ("Request-rate: 10/1m", 6.0),
        ("Crawl-delay: 7\nRequest-rate: 1/5", 7.0),
        ("Crawl-delay: soon", 0.0),
        ("Crawl-delay: -3", 0.0),
        ("Crawl-delay: nan", 0.0),
        ("Crawl-delay:", 0.0),
        ("Request-rate: 0/5", 0.0),
        ("Request-rate: x", 0.0),
        ("Disallow: /", 0.0),
    ],
)
def test_the_pause_that_is_asked_for(line: str, every_s: float) -> None:
    assert rules(f"User-agent: *\n{line}\n").every_s == every_s


@pytest.mark.parametrize("delay", ["inf", "1e300", "9" * 400])
def test_a_pause_without_end_is_one_that_a_limit_may_have(delay: str) -> None:
    pause_s = rules(f"User-agent: *\nCrawl-delay: {delay}\n").every_s
    assert Limit(every_s=pause_s).every_s <= 24 * 3600.0


def test_they_are_read_and_obeyed(tmp_path: Path) -> None:
    read = fetched(tmp_path, Said(text="User-agent: *\nDisallow: /private/\n"))
    assert not read.allow(f"{ORIGIN}/private/a")


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    read = fetched(tmp_path, Said(text=b"\xef\xbb\xbfUser-agent: *\nDisallow: /private/\n"))
    assert not read.allow(f"{ORIGIN}/private/a")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_where_there_are_none_all_is_allowed(tmp_path: Path, status: int) -> None:
    read = fetched(tmp_path, Said(status, "User-agent: *\nDisallow: /"))
    assert read.allow(f"{ORIGIN}/a")


@pytest.mark.parametrize(
    ("status", "headers", "delay_s"),
    [(500, {}, None), (503, {"Retry-After": "7"}, 7.0), (429, {"Retry-After": "0"}, 0.0)],
)
def test_a_host_that_does_not_say_allows_nothing(
    tmp_path: Path, status: int, headers: dict[str, str], delay_s: float | None
) -> None:
    with pytest.raises(UnreachableRulesError, match=f"answers {status}, so nothing of its") as got:
        fetched(tmp_path, Said(status, "", headers))
    assert got.value.delay_s == delay_s


def test_a_host_that_does_not_answer_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnreachableRulesError, match=r"no robots\.txt, so nothing .*: no answer"):
        fetched(tmp_path, FetchError("no answer in time"))


def test_a_host_that_must_not_be_reached_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(ForbiddenAddressError):
        fetched(tmp_path, ForbiddenAddressError("private"))


def test_redirects_are_followed_and_count_for_the_host_that_was_meant(tmp_path: Path) -> None:
    answers = {
        ROBOTS: Said(301, headers={"Location": "https://www.site.test/robots.txt"}),
        "https://www.site.test/robots.txt": Said(text="User-agent: *\nDisallow: /a"),
    }
    assert not fetched(tmp_path, answers).allow(f"{ORIGIN}/a")


@pytest.mark.parametrize("target", ["/robots.txt", "ftp://site.test/robots.txt"])
def test_redirects_that_lead_nowhere_are_as_none_there(tmp_path: Path, target: str) -> None:
    assert fetched(tmp_path, Said(302, headers={"Location": target})).allow(f"{ORIGIN}/a")


def test_five_redirects_are_followed(tmp_path: Path) -> None:
    at = [ROBOTS, *(f"{ORIGIN}/{number}" for number in range(5))]
    answers = {a: Said(301, headers={"Location": b}) for a, b in itertools.pairwise(at)}
    answers[at[-1]] = Said(text="User-agent: *\nDisallow: /a")
    assert not fetched(tmp_path, answers).allow(f"{ORIGIN}/a")


def test_what_is_behind_half_a_megabyte_does_not_count(tmp_path: Path) -> None:
    head = "User-agent: *\nDisallow: /a\n"
    filler = "# more\n" * (MOST_BYTES // 7 + 1)
    read = fetched(tmp_path, Said(text=f"{head}{filler}Disallow: /b\n"))
    assert not read.allow(f"{ORIGIN}/a")
    assert read.allow(f"{ORIGIN}/b")


def test_they_are_read_once_for_a_run_by_all_that_share_the_folder(tmp_path: Path) -> None:
    fetched(tmp_path, Said(text="User-agent: *\nDisallow: /a"))
    other = RulesOfHosts(Store(tmp_path), "1", AGENT).known(ORIGIN)
    assert other is not None
    assert not other.allow(f"{ORIGIN}/a")
    assert RulesOfHosts(Store(tmp_path), "2", AGENT).known(ORIGIN) is None
    assert RulesOfHosts(Store(tmp_path), "1", AGENT).known("https://site.test") is None


def test_after_a_day_they_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(tmp_path, Said(text=""))
    of_hosts = RulesOfHosts(Store(tmp_path), "1", AGENT)
    assert of_hosts.known(ORIGIN) is not None
    later = time.time() + 25 * 3600.0
    monkeypatch.setattr(time, "time", lambda: later)
    assert of_hosts.known(ORIGIN) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"origin": "http://site.test", "run": "1"}', "x"]
)
def test_a_damaged_note_is_as_none(tmp_path: Path, text: str) -> None:
    fetched(tmp_path, Said(text=""))
    (note,) = (tmp_path / ".robots").iterdir()
    note.write_text(text)
    assert RulesOfHosts(Store(tmp_path), "1", AGENT).known(ORIGIN) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
    ],
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": text}) == seconds


def test_retry_after_as_a_date() -> None:
    text = email.utils.formatdate(time.time() + 100, usegmt=True)
    asked_s = retry_after_s({"Retry-After": text})
    assert asked_s is not None
    assert 95 < asked_s < 101
    assert retry_after_s({}) is None


def test_the_rules_in_memory_are_bounded_and_the_others_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.crawl.rules.MOST_HOSTS", 3)
    origins = [f"http://{number}.test" for number in range(6)]
    answers = {
        f"{origin}/robots.txt": Said(text="User-agent: *\nDisallow: /no") for origin in origins
    }
    client: Any = FakeClient(answers)
    kept = RulesOfHosts(Store(tmp_path), "1", AGENT)

    async def read() -> None:
        for origin in origins:
            await kept.fetch(client, origin)

    asyncio.run(read())
    assert len(kept._known) == 3
    again = kept.known(origins[0])
    assert again is not None
    assert not again.allow(f"{origins[0]}/no")
    assert len(client.asked) == 6
    assert len(kept._known) == 3


def test_the_sitemaps_that_are_named() -> None:
    named = "Sitemap: /a.xml\nsitemap: http://b.test/c.xml\nSitemap:\nSitemap: mailto:x\n"
    assert rules(f"{named}Sitemap: /a.xml").sitemaps(ORIGIN) == [
        f"{ORIGIN}/a.xml", "http://b.test/c.xml",
    ]  # fmt: skip
    assert len(rules("".join(f"Sitemap: /{n}\n" for n in range(999))).sitemaps(ORIGIN)) == 50
    assert rules("").sitemaps(ORIGIN) == []
