"""Code that clients send with the start of a run: who may send some, and whether it makes sense.

The code is bytes here. It is neither imported nor unpickled in any process of the master.
"""

from __future__ import annotations

import msgspec

from queue_manager.errors import RefusedError
from queue_manager.job.contract import Limit, Options
from queue_manager.job.files import check_files, version_of
from queue_manager.job.tags import joined
from queue_manager.server.connection import Peer
from queue_manager.settings import Settings, others_reach, reached_by
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunOptions
from queue_manager.wire.tls import CODE_IN_CLEAR


class Uploads:
    """Checks code before a run begins with it.

    QUEUE_UPLOADS=auto takes code where a weak key would do: whoever has the key may run any code on
    the workers.
    """

    def __init__(self, settings: Settings) -> None:
        self._refusal = _refusal(settings)
        self._one_machine = not others_reach(settings)

    def check(self, peer: Peer, message: StartRun) -> tuple[str, RunOptions]:
        """The version of the code, and the options that the run will have.

        Raises:
            QueueError: the code is not taken. One line says why.
        """
        if self._refusal:
            raise RefusedError(self._refusal)
        if not (peer.carries_code or self._one_machine):
            raise RefusedError(CODE_IN_CLEAR)
        code = message.code or {}
        check_files(message.job, code)
        if message.feeder == "runner":
            raise RefusedError("tasks() of uploaded code is not called: its client gives the tasks")
        options = message.options or RunOptions()
        _check_options(options)
        options = msgspec.structs.replace(
            options,
            finish=False,
            feeder=message.feeder,
            needs=joined(options.needs, message.needs),
            also_needs=sorted(message.needs),
            lasting=message.lasting,
            inputs_only=message.inputs_only,
            fingerprint=message.fingerprint,
            mixed=False,
        )
        return version_of(code), options


def _refusal(settings: Settings) -> str:
    """Why this master takes no code; empty if it does."""
    if settings.queue_uploads == "0":
        return "this master takes no code from clients: it has QUEUE_UPLOADS=0"
    if settings.queue_uploads == "1" or not others_reach(settings):
        return ""
    return (
        "this master takes no code from clients, because other machines reach it"
        f" ({reached_by(settings)}): set QUEUE_UPLOADS=1 for it if whoever has the key may run any"
        " code on the workers"
    )


def _check_options(options: RunOptions) -> None:
    """Raise RefusedError unless a job could have these options."""
    limit = options.per_group
    try:
        Options(
            options.attempts,
            options.losses,
            options.timeout_s,
            per_group=None if limit is None else Limit(limit.at_once, limit.every_s),
            needs=options.needs,
        )
    except (TypeError, ValueError) as error:
        raise RefusedError(f"the options of the run: {error}") from None
