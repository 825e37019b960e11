"""Looks whether any worker can run the function of a command, as long as the command waits.

With an own master nobody else will come, so the command ends. Knows nothing of inputs or results.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from types import TracebackType

from queue_manager.client.synchronous import Client
from queue_manager.errors import QueueError
from queue_manager.wire.records import RunStatus

from ..text.printing import tell

LOOK_S = 1.0
"""How often an own master is asked."""

ELSEWHERE_S = 5.0
"""How often a master is asked that has others to serve."""

_NOBODY = re.compile(r".* can't run [^:]+: (?P<why>.*)|(?P<lacks>no worker has .*|.* lacks .*)")
"""Lines of the master about its workers that no waiting changes."""


class Watch:
    """Watches the run of a command. Use it in a `with` block around all that waits for results.

    Args:
        client: of the master. It is closed if nobody can run the function.
        key: of the run; None: it has none.
        file: of the function, as it was typed.
        own: the master is the command's own. With another one, other workers may come: then the
            user is told once how to end the command.

    Raises QueueError at the end of the block if nobody can run the function. The line says why.
    """

    def __init__(self, client: Client, key: str | None, file: str, *, own: bool) -> None:
        self._client, self._key, self._file, self._own = client, key, file, own
        self._over = threading.Event()
        self._line = ""
        self._looking = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        if self._own or self._key is not None:  # a run without a key can't be told from others
            self._looking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._line and isinstance(error, QueueError):  # that the client was closed
            raise QueueError(self._line) from None

    def _look(self) -> None:
        while not self._over.wait(LOOK_S if self._own else ELSEWHERE_S):
            try:
                why = next(filter(None, map(self._trouble, self._runs())), "")
            except QueueError:  # whoever waits for results hears of it
                continue
            if why and not self._over.is_set():
                self._tell(why)
                return

    def _runs(self) -> Iterable[RunStatus]:
        """That of the command. Without a key it is the only one of an own master."""
        return self._client.runs() if self._key is None else [self._client.run(self._key).status()]

    def _trouble(self, run: RunStatus) -> str:
        """Why nobody can run it. Empty: somebody can."""
        if run.leased or not run.waiting:
            return ""
        found = next(filter(None, map(_NOBODY.fullmatch, run.why)), None)
        return (found["why"] or found["lacks"]) if found else ""

    def _tell(self, why: str) -> None:
        goes_on = "; the same command goes on when that is mended" if self._key else ""
        if self._own:
            self._line = f"{self._file} can't run: {why}{goes_on}"
            self._client.close()
        else:
            tell("qm: other workers may come. Ctrl-C ends this command; the same one goes on later")
