"""One message from payload to outcome: sent, tried again, or a dead letter that says why."""

from __future__ import annotations

import functools
import os
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from queue_manager import CurrentTask, Reject, Result, Retry

from ..campaign import Campaign, Tls
from ..keep import ledger, notes
from ..keep.suppression import Suppression
from ..letter.letter import Letter, letter_of
from ..letter.message import Message, made
from ..letter.signing import WrongKeyError, signed
from .connection import Connection
from .errors import Broken, Later, NotSent, Refused, Unknown, Unusable, WrongSetup
from .pace import Limits, Pace, limit_of
from .pool import Pool
from .servers import Server, login_for, servers_for

LONGEST_PAUSE_S = 4 * 3600.0
_TELL_AGAIN_S = 1.0
_AWAY_S = 30.0
# A try that finds no turn is charged. So this is long, within the time that a try may take.
_MOST_WAIT_S = 600.0
_MOST_WAIT_FOR_DOMAIN_S = 30.0
_SETUP_TRIES = 3

UNKNOWN = (
    "it may have been sent: the connection or the worker ended when the server may have taken it."
    " Look for Message-ID <{id}@...> in the server's log. It is not sent again without a person's"
    " word: qm retry {run} {task} --reason TEXT"
)

_limits = Limits()
_away: dict[Server, float] = {}


def send(payload: Any, now: CurrentTask) -> Any:
    """Send the message of a payload, once.

    Raises:
        Retry: another try may send it.
        Reject: it is a dead letter, for the reason that it says.
    """
    try:
        letter = letter_of(payload)
    except ValueError as error:
        _note_wrong(payload, str(error))
        raise Reject(str(error)) from None
    except OSError as error:
        raise Retry(60.0, reason=f"the campaign's file can't be read: {error}") from None
    return _Try(letter, now).result()


def _note_wrong(payload: Any, words: str) -> None:
    """Note a payload that is no message, if it belongs to a campaign."""
    if isinstance(payload, dict) and isinstance(payload.get("out"), str):
        to = str(payload.get("to", ""))
        submit = str(payload.get("submit", ""))
        trouble = notes.Trouble(words, to, "wrong", words, round(time.time(), 3), submit)
        notes.Notes(payload["out"]).trouble(trouble)


class _Suppressed(Exception):
    """The recipient gets nothing."""


class _Try:
    """One try of one message."""

    def __init__(self, letter: Letter, now: CurrentTask) -> None:
        self._letter, self._campaign, self._now = letter, letter.campaign, now
        # Another master has the same numbers, so the submit is a part of it.
        self._task = f"{now.run}.{now.task} {letter.submit}".strip()
        self._ledger = ledger.Ledger(self._campaign.out)
        self._notes = notes.Notes(self._campaign.out)
        self._begun = False

    def result(self) -> Any:
        try:
            return self._outcome()
        finally:
            self._ledger.let_go()

    def _outcome(self) -> Any:
        # The reason stays with the task: a later try may have sent it in the meantime.
        again = self._now.attempt == 1 and bool(self._now.retry_reason)
        fate = self._ledger.fate(self._letter.id, self._task, again=again)
        if fate is ledger.Fate.SENT:
            return self._done({"state": "sent", "again": True})
        if fate is ledger.Fate.BUSY:
            self._again("another worker is sending this message")
        if fate is ledger.Fate.UNKNOWN and not self._campaign.allow_twice:
            self._unknown()
        try:
            return self._done(self._sent())
        except _Suppressed:
            return self._done({"state": "suppressed"})
        except Refused as refused:
            self._refused(refused)
        except Unknown as error:
            if not self._campaign.allow_twice:
                self._unknown()
            self._again(str(error))
        except InterruptedError:
            raise Retry(_TELL_AGAIN_S, reason="another worker is sending this message") from None
        except Unusable as error:
            self._again(str(error), whole_group=error.too_many)
        except Later as error:
            self._again(str(error), whole_group=True, pause_s=error.pause_s)
        except WrongSetup as error:
            if self._now.attempt < _SETUP_TRIES:
                self._again(str(error))
            self._note("wrong", str(error))
            raise Reject(str(error)) from None
        except NotSent as error:
            self._again(str(error))

    def _sent(self) -> dict[str, Any]:
        campaign = self._campaign
        self._look_at_the_list()
        message, data = self._made()
        if campaign.dry:
            return {"state": "written", "file": _write(campaign, message, data)}
        # From here on, the only trace is the ledger's.
        server, words = self._handed_over(message, data)
        return {"state": "sent", "server": str(server), "words": words, "at": round(time.time(), 3)}

    def _look_at_the_list(self) -> None:
        """Raises _Suppressed if the recipient gets nothing, NotSent if that is not known."""
        path = self._campaign.suppressed
        try:
            if path and _suppression(path, self._campaign.list_is_there).has(self._letter.to):
                raise _Suppressed
        except OSError as error:
            raise NotSent(f"{path} can't be read: {error.strerror}") from None

    def _made(self) -> tuple[Message, bytes]:
        letter = self._letter
        try:
            message = made(
                letter.campaign, letter.id, letter.to, letter.values, verbatim=letter.verbatim
            )
            return message, signed(message, letter.campaign)
        except WrongKeyError as error:
            raise WrongSetup(str(error)) from None
        except ValueError as error:
            self._note("wrong", str(error))
            raise Reject(str(error)) from None
        except OSError as error:
            raise NotSent(f"{error.filename} can't be read: {error.strerror}") from None

    def _handed_over(self, message: Message, data: bytes) -> tuple[Server, str]:
        """Hand over to the first server that can be used."""
        last: NotSent | Unusable | None = None
        servers = servers_for(self._campaign, message.to)
        self._wait_for_the_domain()
        # One that was away a moment ago comes last.
        for server in sorted(servers, key=lambda one: _away.get(one, 0.0) > time.monotonic()):
            try:
                return server, self._to_server(server, message, data)
            except (Broken, Unusable, WrongSetup) as error:
                _away[server] = time.monotonic() + _AWAY_S
                last = error
        raise last or NotSent("there is no mail server")

    def _wait_for_the_domain(self) -> None:
        """Wait for the domain's turn: the queue knows its limit when a message has succeeded."""
        every_s = limit_of(self._campaign, datetime.now(UTC)).every_s
        if every_s:
            place = Path(self._campaign.out) / "pace" / self._letter.to.ascii_domain
            _wait(Pace(place, 1.0 / every_s), _MOST_WAIT_FOR_DOMAIN_S)

    def _to_server(self, server: Server, message: Message, data: bytes) -> str:
        campaign = self._campaign
        pool = _pool(str(campaign.shared), campaign.at_once, campaign.tls)
        if campaign.rate:
            try:
                _wait(Pace(pool.place(server), campaign.rate), _MOST_WAIT_S)
            except Later as error:  # of the server, not of the domain
                raise NotSent(str(error)) from None
        for fresh in (False, True):
            with pool.connection(server, fresh=fresh) as connection:
                used = connection.messages > 0
                self._look_at_the_list()  # again: the turn and the connection may have taken long
                try:
                    words = connection.send(message, data, self._begin)
                    # At once: a connection that ends here waits for the server's good-bye.
                    self._ledger.sent(message.id)
                    return words
                except (NotSent, Refused) as error:
                    if self._begun:  # by this try: a note of another worker's stays
                        self._ledger.clear(message.id)
                        self._begun = False
                    # A server may close a connection that it has had for long. That is no refusal.
                    away = isinstance(error, Refused) and error.ends_session
                    closed = isinstance(error, Broken) or away
                    if not (used and closed):
                        raise
        raise Broken(f"{server}: it closes every connection")

    def _begin(self) -> bool:
        try:
            self._begun = self._ledger.begin(self._letter.id, self._campaign.allow_twice)
        except OSError as error:
            raise NotSent(f"the ledger can't be written to: {error.strerror}") from None
        return self._begun

    def _done(self, value: dict[str, Any]) -> Result:
        value["id"] = self._letter.id  # for the report
        if not self._letter.submit:  # a program has put it into the queue, without a group
            return Result(value)
        domain = self._letter.to.ascii_domain
        return Result(value, limits=_limits.news(self._now.run, domain, self._campaign))

    def _refused(self, refused: Refused) -> NoReturn:
        if not refused.for_good:
            self._again(str(refused), whole_group=refused.too_many)
        words = str(refused)
        if refused.hard and (path := self._campaign.suppressed):
            try:
                _suppression(path, self._campaign.list_is_there).add(self._letter.to, words)
            except OSError as error:
                words += f"; the address can't be added to {path}: {error.strerror}"
        self._note("refused", words)
        raise Reject(words) from None

    def _unknown(self) -> NoReturn:
        """Say that nobody knows whether it was sent: not at the first try, see the ledger."""
        now = self._now
        reason = UNKNOWN.format(id=self._letter.id, run=now.run, task=now.task)
        self._note("unknown", reason)
        if self._now.attempt == 1:
            raise Retry(_TELL_AGAIN_S, reason=reason) from None
        self._ledger.tell(self._letter.id, self._task)
        raise Reject(reason) from None

    def _again(self, reason: str, *, whole_group: bool = False, pause_s: float = 0.0) -> NoReturn:
        usual_s = self._campaign.retry_s * 2.0 ** (self._now.attempt - 1)
        pause_s = pause_s or min(usual_s, LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)
        self._note("waiting", reason)
        if whole_group:
            domain = self._letter.to.ascii_domain
            self._notes.hold(notes.Held(domain, time.time() + pause_s, reason))
        raise Retry(pause_s, whole_group=whole_group, reason=reason) from None

    def _note(self, state: str, words: str) -> None:
        letter = self._letter
        at = round(time.time(), 3)
        trouble = notes.Trouble(letter.id, letter.to.envelope, state, words, at, letter.submit)
        self._notes.trouble(trouble)


def _write(campaign: Campaign, message: Message, data: bytes) -> str:
    """Write a message as a file that mail programs open; returns its path."""
    folder = Path(campaign.out) / "eml"
    folder.mkdir(parents=True, exist_ok=True)
    shown = re.sub(r"[^\w@.+-]", "_", message.to.envelope)[:100]
    path = folder / f"{shown}-{message.id[:8]}.eml"
    part = folder / f".{message.id}.{os.getpid()}"
    part.write_bytes(data)
    os.replace(part, path)
    return str(path)


@functools.lru_cache(maxsize=16)
def _suppression(path: str, must_be_there: bool) -> Suppression:
    return Suppression(path, must_be_there=must_be_there)


def _wait(pace: Pace, most_s: float) -> None:
    try:
        pace.wait(most_s)
    except OSError as error:
        raise NotSent(f"{error.filename} can't be used: {error.strerror}") from None


_pools: dict[tuple[str, int, Tls], Pool] = {}
_pools_lock = threading.Lock()


def _pool(shared: str, at_once: int, tls: Tls) -> Pool:
    with _pools_lock:
        key = (shared, at_once, tls)
        if key not in _pools:
            _pools[key] = Pool(Path(shared) / ".servers", at_once, _opener(tls))
        return _pools[key]


def _opener(tls: Tls) -> Callable[[Server], Connection]:
    return lambda server: Connection(server, tls, login_for(server))


def leave() -> None:
    """End all connections in good order."""
    for pool in list(_pools.values()):
        pool.close()
