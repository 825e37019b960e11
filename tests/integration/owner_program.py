"""A master without a queue: it waits for the ownership, then commits a number every 10 ms.

`python -m tests.integration.owner_program URL NAME`. A line on its output says what happens: `ack
EPOCH N` comes after the commit of N. SIGTERM ends it in order, SIGUSR1 has it freeze with an open
transaction, SIGUSR2 in the middle of sending 2 MB.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

import psycopg

from master.store.postgres.address import parse_address
from master.store.postgres.link.connection import Connection
from master.store.postgres.ownership.claim import Claim
from master.store.postgres.ownership.me import Me
from master.store.postgres.ownership.standby import Standby
from master.store.postgres.ownership.watch import Watch
from queue_manager.errors import OwnershipLostError, StoreError

PAUSE_S = 0.01
TABLE = "CREATE TABLE IF NOT EXISTS written (epoch bigint, n bigint, at timestamptz)"
WRITE = """
INSERT INTO written SELECT %(epoch)s, %(n)s, clock_timestamp()
FROM (SELECT 1 / COUNT(*) AS mine
      FROM (SELECT 1 FROM owner WHERE epoch = %(epoch)s FOR SHARE) owned) fence
WHERE fence.mine = 1
"""
"""With the fence of `insert_turn`, which each commit of the engine has."""


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Program:
    """What it does between one role and the next."""

    def __init__(self, url: str, name: str) -> None:
        self.me = Me(parse_address(url), name, f"{name}.example:5000", "1")
        self.standby = Standby(self.me)
        self.ended = threading.Event()
        self.freeze = ""
        self.n = 0
        signal.signal(signal.SIGTERM, lambda *_: (self.ended.set(), self.standby.stop()))
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "freeze", "inside"))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "freeze", "sending"))

    def run(self) -> None:
        while not self.ended.is_set():
            say("stands by")
            found = self.standby.wait()
            if found is not None:
                self.act(*found)
                if not self.ended.is_set():
                    self.standby = Standby(self.me)

    def act(self, claim: Claim, watch: Watch) -> None:
        say("active", claim.epoch)
        claim.on_lost = lambda why: say("lost", why)
        watch.start()
        threading.Thread(target=self.look, args=(claim, watch), daemon=True).start()
        with contextlib.suppress(OwnershipLostError):
            self.write(claim)
        claim.release()
        say("released")

    def look(self, claim: Claim, watch: Watch) -> None:
        while not claim.lost:
            watch.look(time.monotonic())
            time.sleep(0.1)

    def write(self, claim: Claim) -> None:
        assert claim.writer is not None
        writer = claim.writer
        writer.execute(TABLE)
        while not self.ended.wait(PAUSE_S):
            claim.check()
            try:
                self.commit(claim, writer)
            except psycopg.errors.DivisionByZero:
                raise claim.fenced_off() from None
            except (psycopg.Error, StoreError):
                writer = claim.reclaim()
                (there,) = writer.execute(
                    "SELECT count(*) FROM written WHERE n = %s AND epoch = %s",
                    (self.n, claim.epoch),
                ).fetchone() or (0,)
                if there:
                    say("ack", claim.epoch, self.n)
                    self.n += 1
            else:
                say("ack", claim.epoch, self.n)
                self.n += 1

    def commit(self, claim: Claim, writer: Connection) -> None:
        freeze, self.freeze = self.freeze, ""
        with writer.pipeline(), writer.transaction():
            writer.execute(WRITE, {"epoch": claim.epoch, "n": self.n})
            if freeze == "inside":
                writer.execute("SELECT 1").fetchone()  # all of it is in the server
                os.kill(os.getpid(), signal.SIGSTOP)
            if freeze == "sending":
                send_half(writer)


def send_half(writer: Connection) -> None:
    """Freeze when a part of a statement of 2 MB is on its way."""
    pgconn = writer.pgconn
    pgconn.nonblocking = 1
    pgconn.send_query_params(b"SELECT length($1)", [b"x" * (2 << 20)])
    pgconn.flush()
    os.kill(os.getpid(), signal.SIGSTOP)
    raise psycopg.OperationalError("thawed")


if __name__ == "__main__":
    Program(sys.argv[1], sys.argv[2]).run()
