"""What happens to the active master, what undoes it, and how long it may take."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from .ground import Master


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    bound_s: until another master's first commit (section 11); None: nobody takes over.
    strike, undo: what is done to the active master, and what makes a standby of it again.
    """

    name: str
    bound_s: float | None
    strike: Callable[[Master], None]
    undo: Callable[[Master], None]


def _kill(master: Master) -> None:
    master.process.popen.kill()


def _stop(master: Master) -> None:
    master.process.popen.terminate()


def _freeze(master: Master) -> None:
    master.process.popen.send_signal(signal.SIGSTOP)


def _thaw(master: Master) -> None:
    master.process.popen.send_signal(signal.SIGCONT)


def _begin(master: Master) -> None:
    code = master.process.wait(30.0)
    assert code in (0, -signal.SIGKILL), f"{master.name} ended with {code}"
    master.begin()


def _heal(master: Master) -> None:
    master.host.heal()


FAULTS = (
    Fault("killed", 1.0, _kill, _begin),
    Fault("stopped in order", 0.5, _stop, _begin),
    Fault("frozen", 5.0, _freeze, _thaw),
    Fault("cut off from the database", 5.0, lambda m: m.host.cut_database(), _heal),
    Fault("host cut off from all", 5.0, lambda m: m.host.cut(), _heal),
    Fault("cut off from the workers", None, lambda m: m.host.cut_workers(), _heal),
)
