"""`python -m worker` runs a worker, from the environment's settings to its end."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from queue_manager.authkey import find_authkey
from queue_manager.errors import NoKeyError, SettingsError
from queue_manager.lifeline import close_to_others, hide_key, stop_signals
from queue_manager.log_lines import log_to
from queue_manager.open_files import make_room
from queue_manager.settings import Settings, is_loopback, load_settings
from queue_manager.wire import handshake
from queue_manager.wire.tls import client_mode

from .ipc.outcomes import one_line
from .supervisor.slots.output import RelayHandler, Relays
from .supervisor.supervisor import Supervisor

log = logging.getLogger("quartermaster.worker")

LOOK_S = 0.5

KEY_WAIT_S = 30.0
"""How long a worker waits for the key of a master that starts beside it."""

ERROR = 70
"""Exit code after an error of ours (EX_SOFTWARE)."""

LAST_WORDS_S = 0.1
"""How long the end waits until the last log lines are written."""


def main() -> int:
    """Run a worker. Exit code 0 after a drain, 2 for a wrong setting, 70 for an error of ours."""
    for number in set(stop_signals()) - {signal.SIGINT}:
        signal.signal(number, lambda *_: os._exit(0))  # until the supervisor takes over
    arguments = _arguments()
    level = logging.WARNING if arguments.quiet else logging.INFO
    relays = Relays.standard()
    log_to(RelayHandler(relays.err), level)
    try:
        keys_told = ""
        if arguments.settings_from_stdin:
            keys_told, _, given = sys.stdin.read().partition("\n")
            if not given:
                return 0
            os.environ.update(json.loads(given))
        return _work(relays, keys_told)
    finally:
        relays.drain(LAST_WORDS_S)


def _work(relays: Relays, keys_told: str) -> int:
    try:
        settings = load_settings()
        hide_key()
        close_to_others()
        _check(settings)
        authkey = _authkey(settings)
        if keys_told:
            handshake.learn(authkey, keys_told)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    try:
        asyncio.run(_run(settings, authkey, relays))
    except* Exception as errors:
        log.critical("worker: %s: it ends, to be started again", _line(errors))
        relays.drain(LAST_WORDS_S)
        os._exit(ERROR)
    return 0


def _line(errors: BaseException) -> str:
    """Describe the first of these errors, and the line that raised it."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    frames = traceback.extract_tb(errors.__traceback__)
    where = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    return f"{one_line(errors)}{where}"


def _check(settings: Settings) -> None:
    """Check settings that are right for other programs, but wrong for a worker.

    Raises:
        SettingsError: with these settings the worker could never work.
    """
    if settings.queue_port == 0:
        raise SettingsError("QUEUE_PORT=0: a worker needs the port of its master")
    client_mode(settings)
    make_room(settings.worker_slots)
    if settings.worker_jobs == "local" and not settings.jobs_folder.is_dir():
        log.warning("JOBS_FOLDER=%s: there is no such folder", settings.jobs_folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m worker", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="log troubles only")
    parser.add_argument(
        "--settings-from-stdin",
        action="store_true",
        help="read a line of keys that are made already (may be empty), and a JSON object that is"
        " added to the environment; end if there is none",
    )
    return parser.parse_args()


def _authkey(settings: Settings) -> bytes:
    """Find the key. If its file is not there yet, wait: a starting master makes it.

    Nobody may ever make the key in the data folder: that of a master elsewhere is never there.
    """
    named = settings.queue_authkey_file
    here = all(is_loopback(host) for host, _ in settings.masters)
    wait_s = KEY_WAIT_S if here else 0.0
    deadline = time.monotonic() + (math.inf if named else wait_s)
    said = False
    while True:
        try:
            return find_authkey(settings, LOOK_S)
        except NoKeyError as error:
            if time.monotonic() > deadline:
                raise
            if not said:
                path = settings.master_data / "authkey"
                lacks = error if named else f"there is no key in {path}"
                log.info("%s yet; waiting for it", lacks)
                said = True
            time.sleep(LOOK_S)


async def _run(settings: Settings, authkey: bytes, relays: Relays) -> None:
    await Supervisor(settings, authkey, relays=relays, adopts=True).run()
    relays.drain(LAST_WORDS_S)
    # A thread may still wait for a master that does not answer, and would delay the end.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
