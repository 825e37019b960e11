"""The part of a link to the master that the supervisor uses. Tests have a link of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from queue_manager.wire.messages import Hello, Reply, Request, Welcome
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.tls import Mode


class AnyLink(Protocol):
    """A session that reconnects. up: whether it is connected now. where: where its master
    is, for people. roomy: whether the master reads what is sent.
    """

    @property
    def up(self) -> bool: ...
    @property
    def where(self) -> str: ...
    @property
    def roomy(self) -> bool: ...
    @property
    def carries_code(self) -> bool: ...
    async def run(self) -> None: ...
    def send(self, message: Request) -> None: ...
    def close(self) -> None: ...


class LinkMaker(Protocol):
    """Makes a link. Tests make one that connects to nothing."""

    def __call__(
        self,
        masters: Masters,
        authkey: bytes,
        hello: Callable[[], Hello],
        *,
        on_message: Callable[[Reply], None],
        on_up: Callable[[Welcome], None],
        on_down: Callable[[str], None],
        on_room: Callable[[], None],
        mode: Mode,
    ) -> AnyLink: ...
