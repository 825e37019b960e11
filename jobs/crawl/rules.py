"""robots.txt of the hosts (RFC 9309, read by protego), once for a run and an `out` folder.

It is kept beside the files, so that workers that share the folder need not ask again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from pathlib import Path

from protego import Protego

from .address import normalized
from .fetch.client import REDIRECTS, Client, FetchError, location, retry_after_s
from .keep.files import Store
from .look.sitemaps import MOST_SITEMAPS

FOLDER = ".robots"
MOST_BYTES = 512 * 1024
"""RFC 9309, 2.5: at least 500 KiB must be read."""

MOST_REDIRECTS = 5
"""RFC 9309, 2.3.1.2: at least five are followed."""

FRESH_S = 24 * 3600.0
"""RFC 9309, 2.4: not to be used longer than 24 hours."""


MOST_HOSTS = 1000
MOST_TEXT_BYTES = 4 * 1024 * 1024
"""How much of the rules is in memory. The others are read from the folder again."""


class UnreachableRulesError(FetchError):
    """robots.txt can't be read, so nothing of its host may be asked for (RFC 9309, 2.3.1.4).

    Attributes:
        delay_s: how long the host asked to wait, if it did.
    """

    def __init__(self, text: str, delay_s: float | None = None) -> None:
        super().__init__(text)
        self.delay_s = delay_s


class Rules:
    """What one robots.txt allows to one user agent."""

    def __init__(self, text: str, user_agent: str, read_at: float) -> None:
        self._parsed, self._agent, self._read_at = Protego.parse(text), user_agent, read_at
        self._all = not text.strip()
        self.size_bytes = len(text)

    def allow(self, address: str) -> bool:
        """Whether an address may be asked for."""
        return self._all or bool(self._parsed.can_fetch(address, self._agent))

    @property
    def every_s(self) -> float:
        """The pause between two requests that it asks for, in seconds; 0.0 if it asks for none.

        The pause is at most as long as the rules may be used.
        """
        delay_s = self._parsed.crawl_delay(self._agent) or 0.0
        rate = self._parsed.request_rate(self._agent)
        if rate is not None and rate.requests:
            delay_s = max(delay_s, rate.seconds / rate.requests)
        return min(max(0.0, float(delay_s)), FRESH_S)

    def sitemaps(self, origin: str) -> list[str]:
        """The addresses of the sitemaps that it names."""
        said = itertools.islice(self._parsed.sitemaps, MOST_SITEMAPS)
        joined = [normalized(one, f"{origin}/robots.txt") for one in said]
        return [one for one in dict.fromkeys(joined) if one is not None]

    def is_fresh(self) -> bool:
        """Whether it may still be used."""
        return time.time() - self._read_at < FRESH_S


class RulesOfHosts:
    """The rules of all hosts that one run has met."""

    def __init__(self, store: Store, run: str, user_agent: str) -> None:
        self._store, self._run, self._agent = store, run, user_agent
        self._known: dict[str, Rules] = {}
        self._bytes = 0

    def known(self, origin: str) -> Rules | None:
        """The rules of an origin, if they were read for this run."""
        found = self._known.pop(origin, None)
        if found is None:
            found = self._load(origin)
        else:
            self._known[origin] = found  # now the last one; the first was used the longest ago
        return found if found is not None and found.is_fresh() else None

    def _keep(self, origin: str, rules: Rules) -> None:
        """Keep rules in memory, within bounds: pages may show pictures of any number of hosts."""
        self._forget(origin)
        self._known[origin] = rules
        self._bytes += rules.size_bytes
        while len(self._known) > 1 and (
            len(self._known) > MOST_HOSTS or self._bytes > MOST_TEXT_BYTES
        ):
            self._forget(next(iter(self._known)))

    def _forget(self, origin: str) -> None:
        gone = self._known.pop(origin, None)
        self._bytes -= gone.size_bytes if gone is not None else 0

    async def fetch(self, client: Client, origin: str) -> Rules:
        """Ask a host for its rules.

        Raises:
            UnreachableRulesError: the host does not tell them.
            ForbiddenAddressError: the host is in a network that must not be reached.
        """
        try:
            text = await _text(client, f"{origin}/robots.txt")
        except UnreachableRulesError:
            raise
        except FetchError as error:
            raise UnreachableRulesError(f"no robots.txt, so nothing is fetched: {error}") from None
        rules = Rules(text, self._agent, time.time())
        self._keep(origin, rules)
        self._save(origin, text)
        return rules

    def _path(self, origin: str) -> Path:
        name = hashlib.sha256(origin.encode()).hexdigest()[:32]
        return self._store.folder / FOLDER / f"{name}.json"

    def _save(self, origin: str, text: str) -> None:
        part, path = self._store.part(), self._path(origin)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"origin": origin, "run": self._run, "read_at": time.time(), "text": text}
        part.write_text(json.dumps(kept), "utf-8")
        os.replace(part, path)

    def _load(self, origin: str) -> Rules | None:
        try:
            kept = json.loads(self._path(origin).read_text("utf-8"))
            if kept["origin"] != origin or kept["run"] != self._run:
                return None
            rules = Rules(kept["text"], self._agent, kept["read_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._keep(origin, rules)
        return rules


async def _text(client: Client, address: str) -> str:
    """The text of robots.txt, empty where there is none (RFC 9309, 2.3.1.3)."""
    for _ in range(MOST_REDIRECTS + 1):
        with await client.get(address, MOST_BYTES) as answer:
            status = answer.status
            if status in REDIRECTS:
                target = location(answer.headers, address)
                if target is None:
                    return ""
                address = target
                continue
            if status == 429 or status >= 500:
                raise UnreachableRulesError(
                    f"{address} answers {status}, so nothing of its host may be fetched (RFC 9309)",
                    retry_after_s(answer.headers),
                )
            if not 200 <= status < 300:
                return ""
            # Only the first half megabyte counts.
            return (await answer.first(MOST_BYTES)).decode("utf-8-sig", "replace")
    return ""  # RFC 9309: too many redirects mean that there is none
