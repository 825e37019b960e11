"""jobs/mail.py: mail to every recipient of a list, or to one, each message once.

    qm submit mail recipients=/shared/list.csv template=/shared/spring.html \
        subject="Hello {{ name }}" campaign=spring-2026
    qm submit mail to=ann@example.org subject=Hello text="The report is ready."

The variables MAIL_SERVER, MAIL_FROM, MAIL_USER and MAIL_PASSWORD_FILE of the workers say where mail
goes. docs/mail.md has all arguments, and how it is that nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from jobs.mailing.addresses import mailbox
from jobs.mailing.asked import (
    NO_DAY,
    NO_FILE,
    NO_FILES,
    NO_KEY,
    NO_MAIL,
    NO_NAME,
    NO_SERVERS,
    NO_TEMPLATE,
    Address,
    CampaignName,
    Count,
    CountOrNone,
    FirstDay,
    ListOfFiles,
    ListOfServers,
    PrivateKey,
    Rate,
    Readable,
    Seconds,
    TemplateFile,
    campaign_of,
)
from jobs.mailing.campaign import Campaign, Tls, save
from jobs.mailing.keep.hashes import Hashes
from jobs.mailing.keep.notes import Notes
from jobs.mailing.keep.reporting import Totals, write_report
from jobs.mailing.keep.suppression import Suppression
from jobs.mailing.letter.letter import queue_folder
from jobs.mailing.letter.templates import check
from jobs.mailing.recipients import rows
from jobs.mailing.together import check_together
from jobs.output.folder import made
from queue_manager import Counts, Limit, Options, Task, current_task

CONCURRENCY = 16

OPTIONS = Options(
    attempts=10,  # pauses of 1, 2, 4 ... minutes: some eight hours for one that says "later"
    timeout_s=1800,  # 600 s for a turn, 600 s for the server to take it, and the answers before
    concurrency=CONCURRENCY,
    # The first message to a domain goes alone. Its result sets the domain's limit.
    per_group=Limit(at_once=1),
)

_threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="mail")
_totals = Totals()
_64_BITS = (1 << 64) - 1


def tasks(
    recipients: Readable = NO_FILE,
    template: TemplateFile = NO_TEMPLATE,
    subject: str = "",
    text: str = "",
    campaign: CampaignName = NO_NAME,
    to: Address = NO_MAIL,
    sender: Address = NO_MAIL,
    reply_to: Address = NO_MAIL,
    bounces: Address = NO_MAIL,
    unsubscribe: str = "",
    attach: ListOfFiles = NO_FILES,
    inline: ListOfFiles = NO_FILES,
    suppressed: Readable = NO_FILE,
    server: ListOfServers = NO_SERVERS,
    tls: Tls = "verified",
    dkim_key: PrivateKey = NO_KEY,
    dkim_selector: str = "mail",
    dkim_domain: str = "",
    at_once: Count = 10,
    per_minute: Rate = 0.0,
    warmup: CountOrNone = 0,
    since: FirstDay = NO_DAY,
    rate: Rate = 0.0,
    duplicates: Literal["refuse", "allow"] = "refuse",
    retry_s: Seconds = 60.0,
    dry: bool = False,
    out: str = "",
) -> Iterator[Task]:
    """A task for each recipient; its key is the recipient's address."""
    given = dict(locals())
    _check(recipients, template, subject, text, unsubscribe, inline, campaign, to)
    folder = _folder(out, campaign)
    asked = campaign_of({**given, "out": folder, "since": str(since) or _begun(folder)})
    _tell_wrong_lines(asked.suppressed)
    _totals.notes = Notes(folder)
    # A task keeps what the first call of tasks() gave it, as its key drops that of a second call.
    _totals.submit = uuid.uuid4().hex[:16]
    base = {"campaign": save(asked), "out": folder, "submit": _totals.submit}
    yield from _rows(recipients, base) if recipients else _one(to, asked, base, bool(template))


def run_key(
    recipients: str,
    template: str,
    subject: str,
    text: str,
    unsubscribe: str,
    inline: str,
    campaign: str,
    to: str,
    dry: bool,
) -> str | None:
    """A campaign is one run, however often it is submitted; a look at its messages is none.

    Arguments that don't go together are refused here, before there is a run.
    """
    _check(recipients, template, subject, text, unsubscribe, inline, campaign, to)
    return campaign if recipients and not dry else None


def _check(
    recipients: str,
    template: str,
    subject: str,
    text: str,
    unsubscribe: str,
    inline: str,
    campaign: str,
    to: str,
) -> None:
    """Raises ValueError, in one line, for arguments that don't go together."""
    if not recipients and not to:
        raise ValueError("mail needs recipients=FILE and campaign=NAME, or to=ADDRESS")
    if recipients and (to or not campaign):
        raise ValueError("recipients= needs campaign=NAME, and has no to=")
    if not template and not text:
        raise ValueError("mail needs template=FILE or text=WORDS")
    _check_texts(recipients or template, subject=subject, text=text, unsubscribe=unsubscribe)
    check_together(template, inline, to, subject, text)


def _check_texts(filled: str, **texts: str) -> None:
    """What a list or a file fills are templates; texts for one recipient go as they are."""
    for name, text in texts.items() if filled else ():
        try:
            check(text, html=False)
        except ValueError as error:
            raise ValueError(f"{name}= is no Jinja2 template: {error}") from None


def _rows(recipients: str, base: dict[str, Any]) -> Iterator[Task]:
    seen = Hashes()
    _totals.repeated = 0
    for row in rows(recipients):
        who = row.mailbox
        if who is None:
            wrong = {"wrong": f"{recipients}, {row.wrong}", **base}
            yield Task(wrong, key=f"row {row.number}")
            continue
        number = hash(who.key) & _64_BITS
        if number in seen:
            _totals.repeated += 1
        seen.add(number)
        payload = {"to": who.envelope, "name": who.name, "fields": row.fields, **base}
        yield Task(payload, key=who.key, group=who.ascii_domain)


def _one(to: str, asked: Campaign, base: dict[str, Any], fill: bool) -> Iterator[Task]:
    who = mailbox(to)
    # Made here and kept in the payload: a second call of tasks() drops its task by the key.
    name = asked.name or str(uuid.uuid4())
    payload = {"id": name, "to": who.envelope, "name": who.name, "fill": fill, **base}
    yield Task(payload, key=who.key, group=who.ascii_domain)


def _folder(out: str, campaign: str) -> str:
    folder = out or (f"/shared/mail/{campaign}" if campaign else queue_folder())
    return made(folder, page_of="mail")


def _tell_wrong_lines(suppressed: str) -> None:
    """Say which lines of the list of the suppressed keep nobody from getting mail."""
    try:
        wrong = Suppression(suppressed).wrong()
    except OSError as error:
        raise ValueError(f"suppressed={suppressed!r} can't be read: {error.strerror}") from None
    if wrong:
        shown = ", ".join(map(str, wrong[:5])) + (" ..." if len(wrong) > 5 else "")
        print(f"mail: {suppressed} has lines that are no address, {len(wrong):,} in all: {shown}")


def _begun(folder: str) -> str:
    """When the campaign began: the first day of its warm-up, the same after any restart."""
    path = Path(folder) / "begun"
    part = path.with_name(f".begun.{uuid.uuid4().hex}")
    part.write_text(datetime.now(UTC).isoformat())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(part, path)  # whole or not at all, and never over what is there
    finally:
        part.unlink()
    return path.read_text().strip()


def setup() -> None:
    """Import what sends, in a slot: a runner does without it."""
    from jobs.mailing.send import sending  # noqa: F401


@atexit.register
def _leave() -> None:
    import sys

    sending = sys.modules.get("jobs.mailing.send.sending")
    if sending is not None:
        sending.leave()


async def work(payload: Any) -> Any:
    """Send one message."""
    from jobs.mailing.send.sending import send

    now = current_task()
    # smtplib waits for each answer; other threads go on meanwhile.
    return await asyncio.get_running_loop().run_in_executor(_threads, send, payload, now)


def collect(payload: Any, result: dict[str, Any]) -> None:
    """Count a result, for the line that says how far the campaign is."""
    if _totals.notes is None and "out" in payload:
        _totals.notes = Notes(payload["out"])
    _totals.add(result)


def report(counts: Counts) -> str:
    """The line that says how far the campaign is."""
    return _totals.line(counts)


def finish(results: Iterator[tuple[Any, Any]], out: str, campaign: str) -> None:
    """Write report.csv and the page beside it."""
    said, page = write_report(_folder(out, campaign), campaign, results, _totals.submit)
    print(f"mail: {said}{_totals.repeated_words()}")
    print(f"mail: look at {page}")
