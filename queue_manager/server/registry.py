"""The names on the network, and the object behind each.

This module owns which name means which queue, and what the log says of names that are not
registered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .. import names
from .served import Served

log = logging.getLogger("quartermaster.server")

_OF_QUEUES: dict[names.QueueName, str] = {
    "task": names.TASK_QUEUE[0],
    "result": names.RESULT_QUEUE[0],
}
_HOSTS_LOGGED, _NAMES_LOGGED = 256, 8
"""For how many hosts, and for how many names of each, this remembers what was logged."""


class Registry:
    """The registered names. entries: typeid to (callable, exposed, ...), as in BaseManager."""

    def __init__(self, entries: Mapping[str, tuple[Any, ...]]) -> None:
        self._entries = entries
        self._served: dict[str, Served] = {}
        self._logged: dict[str, set[str]] = {}

    def served(self, typeid: str) -> Served:
        """Find the object of a registered name, or of another name that scripts use for a queue.

        Raises KeyError, with a line for the client, if no object has that name.
        """
        entry = self._entries.get(typeid)
        if entry is None:
            queue = names.queue_named(typeid)
            typeid = typeid if queue is None else _OF_QUEUES[queue]
            entry = self._entries.get(typeid)
        if entry is None or entry[0] is None:
            raise KeyError(names.unknown(typeid, self._added()))
        if typeid not in self._served:
            self._served[typeid] = entry[0]()
        return self._served[typeid]

    def log_unknown(self, host: str, typeid: str) -> None:
        """Log that a client asked for an unknown name, once for each host and name."""
        logged = self._logged.setdefault(host, set())
        if typeid in logged or len(logged) >= _NAMES_LOGGED:
            return
        logged.add(typeid)
        if len(self._logged) > _HOSTS_LOGGED:
            self._logged.pop(next(iter(self._logged)))
        log.warning(
            "%s asks for a name that is not here: %s", host, names.unknown(typeid, self._added())
        )

    def _added(self) -> dict[str, names.QueueName]:
        """The names that QUEUE_NAMES has added, and the queue behind each."""
        here = {name: self.served(name) for name, entry in self._entries.items() if entry[0]}
        queues = {here[name]: queue for queue, name in _OF_QUEUES.items() if name in here}
        others = {name: served for name, served in here.items() if name not in names.ALWAYS}
        return {name: queues[served] for name, served in others.items() if served in queues}
