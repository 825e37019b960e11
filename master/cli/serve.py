"""`serve`: runs the service until it is told to stop, submits the seed, and logs ended runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import signal
from typing import Any, NoReturn

from queue_manager import codec
from queue_manager.errors import QueueError
from queue_manager.job.arguments import split_arguments
from queue_manager.lifeline import stop_signals
from queue_manager.log_lines import about_run
from queue_manager.plain.as_json import shown
from queue_manager.settings import Settings
from queue_manager.terminal import harmless_line
from queue_manager.wire.messages import StartRun
from queue_manager.wire.stock.opcodes import SHOWN_ITEM
from queue_manager.wire.tls import master_mode

from ..broker.runs.run import Run
from ..jobs.versions import without_seed
from ..observe.run_line import ended_line
from ..processes.runners import uncollected
from ..processes.web import WebProcess
from ..server.service import Service
from ..standby.again import begin_again
from ..standby.holding import Holding
from ..standby.waiting import stand_by
from ..standby.where import is_shared
from ..turn.answer import log_failure

log = logging.getLogger("quartermaster.master")

LAST_RESULTS = 10
_SHOWN = 300
"""Characters of a payload or result in the log."""


async def serve(
    settings: Settings, authkey: bytes, listening: int | None = None, workers_gone: bool = False
) -> int:
    """Serve until a signal asks for the end. Returns the exit code.

    listening: as `Service`. workers_gone: those of before can't come back: nobody waits for them.
    """
    stop = stop_event()
    holding = None
    if is_shared(settings):
        master_mode(settings)  # who can't serve may not take the queue from one that can
        holding = await stand_by(settings, authkey, stop, listening)
        if holding is None:
            log.info("stopped")
            return 0
        listening = holding.listening
    service = _service(settings, authkey, listening, holding)
    service.runners.on_finished.append(lambda run: _close(run, settings))
    service.start()
    reach, keys = service.client_environment, service.server.keys_told
    pages = WebProcess(settings, reach, keys, lambda: service.turn.wall)
    pages.start()
    if workers_gone:
        service.broker.await_known_workers(service.store.workers, 0.0)
    seeding = asyncio.create_task(_seed(service))
    seeding.add_done_callback(log_failure)
    await _stopped_or_lost(stop, holding)
    seeding.cancel()
    if holding is not None and holding.why and not stop.is_set():
        _step_down(settings, holding, service.server.hand_on())
    await asyncio.gather(pages.stop(), service.stop())
    if holding is not None:
        holding.release()
    log.info("stopped")
    return 0


def _service(
    settings: Settings, authkey: bytes, listening: int | None, holding: Holding | None
) -> Service:
    try:
        return Service(settings, authkey, listening, holding)
    except BaseException:
        if holding is not None:
            if holding.why:
                _step_down(settings, holding, holding.listening)
            holding.release()
        raise


async def _stopped_or_lost(stop: asyncio.Event, holding: Holding | None) -> None:
    events = [stop] if holding is None else [stop, holding.lost]
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _step_down(settings: Settings, holding: Holding, listening: int) -> NoReturn:
    log.error("this master is not the active one any more: %s. It stands by", holding.why)
    begin_again(settings, listening)


def _close(run: Run, settings: Settings) -> None:
    if run.state != "cancelled":  # the cancel was logged
        log.info(closing_line(run, settings), extra=about_run(run))


def stop_event() -> asyncio.Event:
    """An event that a stop signal sets. A second signal acts as it does in any program."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in stop_signals():
        loop.add_signal_handler(number, asked, number)
    return stop


def closing_line(run: Run, settings: Settings) -> str:
    """What a run has done, and what to do next."""
    see = f" See them: {_inside(settings)}qm failed {run.id}." if run.dead else ""
    plain = run.options.feeder == "runner" and not (run.after or run.arguments.body)
    # The same command would give this run again, if the job makes the key of its arguments.
    plain = plain and not (run.key or "").startswith(f"{run.job}:")
    again = f" Submit another: {another(run, settings)}" if plain else ""
    return f"{ended_line(run.id, run)}.{see}{again}"


def another(run: Run, settings: Settings) -> str:
    """The command that asks for one more run of the same job."""
    args = harmless_line(shlex.join(run.args)) or ("count=20" if run.job == "square" else "")
    return f"{_inside(settings)}qm submit {run.job} {args} --wait".replace("  ", " ")


def _inside(settings: Settings) -> str:
    return "docker compose exec master " if settings.queue_publish_known else ""


async def _seed(service: Service) -> None:
    """Submit the seed. It has a key of its own, so a store has it once, whatever restarts."""
    settings = service.settings
    job = settings.job
    if not job:
        return
    key = f"{job} {settings.job_args}".strip()
    try:
        ask = StartRun(0, job, split_arguments(settings.job_args), key)
        run, created = await service.submit(ask)
    except QueueError as error:
        if service.versions.is_news(job, error):
            log.error("%s", without_seed(job, error))
        return
    if not created and not run.active and not uncollected(run):
        if run.state != "pruned":
            with contextlib.suppress(QueueError):
                for line in _last_results(service, run):
                    log.info(line, extra=about_run(run))
        log.info(closing_line(run, settings), extra=about_run(run))


def _last_results(service: Service, run: Run) -> list[str]:
    """The newest results of a run that was done before this start."""
    outcomes, bodies = service.store.read_last_outcomes(run.id, LAST_RESULTS)
    lines: list[str] = []
    for outcome in outcomes:
        payloads = codec.decode_each(bodies[outcome.first], outcome.start, outcome.stop, SHOWN_ITEM)
        count = outcome.stop - outcome.start
        results = codec.decode_each(outcome.results, 0, count, SHOWN_ITEM)
        pairs = zip(payloads, results, strict=False)
        lines += [f"{_short(payload)} -> {_short(result)}" for payload, result in pairs]
    return [f"run {run.id} was done before; its last results:", *lines[-LAST_RESULTS:]]


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
