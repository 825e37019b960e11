"""The payload of one task, opened: which address, why, and what an earlier run knows of it."""

from __future__ import annotations

from typing import Any, TypeAlias

from queue_manager import Task

from ..address import host_of, origin_of
from ..keep.files import Store
from ..site import Site

Outcome: TypeAlias = tuple[dict[str, Any], list[Task]]
"""The value of a result, and the tasks that follow."""


class Skip(Exception):
    """The crawl keeps nothing of an address, and that is no failure. Its text says why."""


class Visit:
    """One payload, opened."""

    def __init__(self, site: Site, payload: dict[str, Any]) -> None:
        self.site, self.payload = site, payload
        self.kind: str = payload["kind"]
        self.address: str = payload["url"]
        self.hops: list[str] = payload.get("hops", [])
        self.is_linked: bool = payload.get("linked", False)
        self._known: dict[str, Any] = payload.get("known", {})

    @property
    def host(self) -> str:
        """The name of the host."""
        return host_of(self.address)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return origin_of(self.address)

    @property
    def is_start(self) -> bool:
        """Whether the crawl begins here. Without its start a crawl has nothing."""
        first = self.hops[0] if self.hops else self.address
        return self.kind == "page" and first == self.site.start

    @property
    def was_found(self) -> bool:
        """Whether an earlier run has it: it may be unchanged, and then it takes no room."""
        return any(name in self._known for name in ("file", "etag", "modified"))

    def is_known(self, store: Store) -> bool:
        """Whether an earlier run has what would come, and this machine still has its file."""
        known = self._known
        if not (known.get("etag") or known.get("modified")):
            return False
        return "file" not in known or store.has(known["file"], known["bytes"])

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the address only if it has changed (RFC 9110, 13.1)."""
        known, headers = self._known, {}
        if known.get("etag"):
            headers["If-None-Match"] = known["etag"]
        if known.get("modified"):
            headers["If-Modified-Since"] = known["modified"]
        return headers

    @property
    def unchanged(self) -> dict[str, Any]:
        """The result of an address that has not changed: what the earlier run found."""
        what = {} if "file" in self._known else {self.kind: 0}
        return {**what, **self._known, "unchanged": True}
