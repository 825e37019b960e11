"""Counts primes on all workers: `python examples/script.py`, with a master and a worker running.

QUEUE_HOST, QUEUE_PORT and QUEUE_AUTHKEY say where the master is, as for the commands.
"""

from queue_manager import connect

STEP = 10_000


def primes(start):
    """How many primes there are from `start` on, among STEP numbers."""
    numbers = range(max(start, 2), start + STEP)
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in numbers)


def main():
    with connect() as qm:
        starts = range(0, 20 * STEP, STEP)
        for start, count in zip(starts, qm.map(primes, starts, progress=True), strict=True):
            print(f"{count} primes from {start:,} to {start + STEP - 1:,}")


if __name__ == "__main__":
    main()
