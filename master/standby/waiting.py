"""A master that stands by: it answers everybody that it does, until it is the active one."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

from queue_manager import health
from queue_manager.errors import SettingsError
from queue_manager.server.arriving.standby import Standby as Listener
from queue_manager.settings import Settings

from .answers import Answers
from .holding import Holding, load_engine
from .where import this_master

if TYPE_CHECKING:  # psycopg is an extra
    from ..store.postgres.ownership.claim import Claim
    from ..store.postgres.ownership.standby import Standby
    from ..store.postgres.ownership.watch import Watch

    Owned = tuple[Claim, Watch]

log = logging.getLogger("quartermaster.master")

TICK_S = 1.0
QUIET_S = 0.5
"""A master that is the active one within this time says nothing of standing by."""

_STOP_S = 3.0


async def stand_by(
    settings: Settings, authkey: bytes, stop: asyncio.Event, listening: int | None = None
) -> Holding | None:
    """Wait until this master is the active one. None: `stop` was set before.

    listening: the number of a socket that listens already, in the place of QUEUE_BIND and
    QUEUE_PORT.

    Raises SettingsError when the store's URL is wrong, or the address can't be listened on.
    """
    from ..store.postgres.ownership.standby import Standby

    standby = Standby(this_master(settings, authkey))
    load_engine()  # nobody waits for that now
    listener = _listen(settings, listening)
    answers = Answers(settings)
    loop = asyncio.get_running_loop()
    try:
        listener.start()
        await answers.start()
        quiet = loop.call_later(QUIET_S, _say, settings, listener, answers, standby)
        ticking = loop.create_task(_tick(settings, standby))
        owned = await _owned(standby, stop)
        quiet.cancel()
        ticking.cancel()
    except BaseException:
        listener.close()
        raise
    finally:
        await answers.stop()
    if owned is None:
        listener.close()
        return None
    claim, watch = owned
    log.info("this master is the active one, epoch %d", claim.epoch)
    return Holding(claim, watch, listener.hand_on())


def _listen(settings: Settings, listening: int | None) -> Listener:
    where = (settings.queue_bind, settings.queue_port)
    try:
        return Listener(where, listening)
    except OSError as error:
        raise SettingsError(
            f"QUEUE_BIND={where[0]}, QUEUE_PORT={where[1]}: can't listen there:"
            f" {error.strerror or error}"
        ) from error


async def _owned(standby: Standby, stop: asyncio.Event) -> Owned | None:
    """The ownership, or None when `stop` was set. Its thread has ended then."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Owned | None] = loop.create_future()

    def wait() -> None:
        try:
            result, error = standby.wait(), None
        except BaseException as caught:
            result, error = None, caught
        loop.call_soon_threadsafe(_resolve, found, result, error)

    threading.Thread(target=wait, name="standby", daemon=True).start()
    stopping = loop.create_task(stop.wait())
    both: list[asyncio.Future[Any]] = [found, stopping]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not stop.is_set():
        return found.result()
    standby.stop()
    await asyncio.wait([found], timeout=_STOP_S)
    owned = found.result() if found.done() else None
    if owned is not None:  # it came in the last moment: the next one may have it
        owned[0].release()
    return None


def _resolve(
    found: asyncio.Future[Owned | None], result: Owned | None, error: BaseException | None
) -> None:
    if found.done():
        return
    if error is not None:
        found.set_exception(error)
    else:
        found.set_result(result)


def _say(settings: Settings, listener: Listener, answers: Answers, standby: Standby) -> None:
    host, port = listener.address[:2]
    also = f", /healthz on {answers.address}" if answers.address else ""
    name = settings.master_name
    why = "another master is the active one" if standby.sees_another else "none is active yet"
    log.info("%s stands by on %s:%s%s: %s", name, host, port, also, why)


async def _tick(settings: Settings, standby: Standby) -> None:
    """Keep the health file young: a master that stands by is well."""
    complaint = ""
    while True:
        try:
            health.touch(settings.health_file)
        except OSError as error:
            if str(error) != complaint:
                complaint = str(error)
                log.warning("can't touch HEALTH_FILE: %s", error)
        await asyncio.sleep(TICK_S)
