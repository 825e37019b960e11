"""One round of one row: start the peer, measure each rate, the idle round trip, CPU and memory."""

from __future__ import annotations

from pathlib import Path

from ..brief import sized
from ..rig import kernel
from .catalogue import Peer
from .figures import Speed
from .station import WORKERS, Station

TARGET_S = sized(1.5, 0.05)
"""How long a burst lasts, about."""
WARM_UP, TRIPS, TRIPS_S = 5, sized(150, 5), sized(8.0, 2.0)
FEW, GROWTH, MOST = 16, 4, 400_000
_CLEAR = 0.25
"""The share of TARGET_S from which on a burst tells the rate."""


def measure(peer: Peer, python: Path, folder: Path, row: Speed) -> None:
    """Add one round to the row. Raises RuntimeError with the peer's own words."""
    with Station(peer, python, folder) as station:
        if peer.shell_only:
            row.bulk.append(_rate(station, "square", True, row.cpu_s))
            row.paused.append(_rate(station, "pause", True))
            return
        names = station.ask("ready", workers=WORKERS)
        station.ask("trips", count=WARM_UP, most_s=TRIPS_S)
        idle = [kernel.pss_mb(station.worker_pids(name)) for name in names]
        if all(idle):  # else its workers are threads, or a process a task
            row.worker_mb.append(sum(idle) / len(idle))
        row.trips_s += station.ask("trips", count=TRIPS, most_s=TRIPS_S)
        has_bulk = station.ask("burst", work="square", count=1, bulk=True) is not None
        row.single.append(_rate(station, "square", False, None if has_bulk else row.cpu_s))
        if has_bulk:
            row.bulk.append(_rate(station, "square", True, row.cpu_s))
        row.sized.append(_rate(station, "sized", has_bulk))
        row.paused.append(_rate(station, "pause", has_bulk))


def _rate(station: Station, work: str, bulk: bool, cpu_s: list[float] | None = None) -> float:
    """Tasks a second of a burst of about TARGET_S. cpu_s: gets the CPU seconds of 1,000 tasks."""
    count = FEW
    while True:
        took_s = station.ask("burst", work=work, count=count, bulk=bulk)
        if took_s >= TARGET_S * _CLEAR or count >= MOST:
            break
        count *= GROWTH
    count = min(MOST, max(FEW, int(count / took_s * TARGET_S)))
    before_s = station.cpu_s()
    took_s = station.ask("burst", work=work, count=count, bulk=bulk)
    if cpu_s is not None:
        cpu_s.append(1000 * (station.cpu_s() - before_s) / count)
    return float(count / took_s)
