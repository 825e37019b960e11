"""`QueueManager`, a BaseManager with our server and the tutorials' names.

As a client it works like the tutorials' own class:
`QueueManager(address=..., authkey=...).connect()`, then `get_task_queue()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.managers import BaseManager
from typing import Any

from .. import names
from ..addresses import Address
from ..wire.records import FRAME_BYTES
from ..wire.tls import Mode
from .served import Served
from .server import LoopServer


class QueueManager(BaseManager):
    """The task queue and the result queue on the network.

    Args:
        address: host and port of the master.
        authkey: the key that both sides have, as bytes.
        max_bytes: the most bytes that one payload may have (serving side only).
        tls: when the connection is encrypted, as QUEUE_TLS says it. `auto`: wherever it can be.
        salt: this installation's salt, 16 bytes; None makes a new one (serving side only).
        listening: the number of a socket that listens already, in the place of the address (serving
            side only).
    """

    _Server = LoopServer

    def __init__(
        self,
        address: Address,
        authkey: bytes,
        *,
        max_bytes: int = FRAME_BYTES,
        tls: Mode = "auto",
        salt: bytes | None = None,
        listening: int | None = None,
    ) -> None:
        super().__init__(address, authkey, names.SERIALIZERS[tls])
        self._max_bytes, self._tls, self._salt = max_bytes, tls, salt
        self._listening = listening

    def get_server(self) -> Any:
        """Make the serving side. The stock method would make the stock Server.

        Raises OSError if the address is taken.
        """
        manager: Any = self  # typeshed leaves these attributes of BaseManager out
        return LoopServer(
            manager._registry,
            manager._address,
            manager._authkey,
            manager._serializer,
            self._max_bytes,
            self._tls,
            self._salt,
            self._listening,
        )


def serving(
    tasks: Served,
    results: Served,
    exchange: Served,
    added: Mapping[str, names.QueueName] | None = None,
) -> type[QueueManager]:
    """Make a QueueManager class with an object behind each name on the network.

    added: the names of QUEUE_NAMES. The server itself knows the other names that scripts use.
    """
    queues: dict[names.QueueName, Served] = {"task": tasks, "result": results}

    class Serving(QueueManager):
        pass

    for typeids, served in (
        (names.TASK_QUEUE, tasks),
        (names.RESULT_QUEUE, results),
        ((names.EXCHANGE,), exchange),
    ):
        for typeid in typeids:
            Serving.register(typeid, callable=_always(served), exposed=served.exposed)
    for typeid, queue in (added or {}).items():
        served = queues[queue]
        Serving.register(typeid, callable=_always(served), exposed=served.exposed)
    return Serving


def _always(served: Served) -> Callable[[], Served]:
    return lambda: served


for _typeid in (*names.TASK_QUEUE, *names.RESULT_QUEUE):
    QueueManager.register(_typeid, exposed=names.QUEUE_METHODS)
