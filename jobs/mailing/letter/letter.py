"""What a payload asks for: a row of a campaign, or one message by itself."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import msgspec

from ..addresses import Mailbox, mailbox
from ..campaign import Campaign, load
from .message import identity

QUEUE_FOLDER = "/shared/mail/queue"
_OF_SUBMIT = {"campaign", "out", "submit", "fill"}
_FIELDS = {"id", "to", "name", "subject", "text", "html", "from", "reply_to"}


class Letter(NamedTuple):
    """A message that is not made yet. verbatim: its texts are no templates. submit: a text that
    only the tasks of one submit have; empty if a program has put the message into the queue."""

    campaign: Campaign
    id: str
    to: Mailbox
    values: dict[str, Any]
    verbatim: bool
    submit: str = ""


def letter_of(payload: Any) -> Letter:
    """What a payload asks for.

    Raises:
        ValueError: it is no message. The text says why.
        OSError: the campaign's file can't be read.
    """
    if not isinstance(payload, dict):
        raise ValueError(
            f"a message is a dict with id, to, subject and text, not {payload!r}"[:200]
        )
    if "wrong" in payload:
        raise ValueError(str(payload["wrong"]))
    if "fields" in payload:
        campaign = with_sender(load(payload["out"], payload["campaign"]))
        to = mailbox(payload["to"], payload.get("name", ""))
        name = identity(campaign.name, to)
        return Letter(campaign, name, to, payload["fields"], False, _submit(payload))
    return _single(payload)


def _single(payload: dict[str, Any]) -> Letter:
    """A message by itself, of a submit with `to=` or from a program that puts it into the queue."""
    asked = {key: value for key, value in payload.items() if key not in _OF_SUBMIT}
    if unknown := set(asked) - _FIELDS:
        raise ValueError(f"a message has no {min(unknown)!r}: it has {', '.join(sorted(_FIELDS))}")
    if wrong := [key for key, value in asked.items() if not isinstance(value, str)]:
        raise ValueError(f"{wrong[0]!r} of a message is a text, not {asked[wrong[0]]!r}"[:200])
    for needed in ("id", "to"):
        if not asked.get(needed):
            raise ValueError(_MISSING[needed])
    if "campaign" in payload:
        campaign = load(payload["out"], payload["campaign"])
    else:
        out = queue_folder()
        campaign = Campaign(out, suppressed=os.path.join(os.path.dirname(out), "suppressed.txt"))
    changed: dict[str, str] = {
        key: asked[key] for key in ("subject", "text", "html", "reply_to") if key in asked
    }
    if "from" in asked:
        changed["sender"] = asked["from"]
    campaign = with_sender(msgspec.structs.replace(campaign, **changed))
    to = mailbox(asked["to"], asked.get("name", ""))
    # A submit with a template has it filled; a program's texts are sent as they are.
    fill = "campaign" in payload and payload.get("fill") is True
    values = {"name": to.name} if to.name else {}
    name = identity(f"\0{asked['id']}", to)
    return Letter(campaign, name, to, values, not fill, _submit(payload))


def queue_folder() -> str:
    """The folder of single messages that name none."""
    return os.environ.get("MAIL_OUT") or QUEUE_FOLDER


def _submit(payload: dict[str, Any]) -> str:
    return str(payload.get("submit", ""))


_MISSING = {
    "id": (
        "a message needs id: a text that no other message has, such as 'order 17'. A second message"
        " with the same id and recipient is not sent"
    ),
    "to": "a message needs to: the address of its recipient",
}


def with_sender(campaign: Campaign) -> Campaign:
    """A campaign with the sender that the worker's MAIL_FROM names, if it has none.

    Raises:
        ValueError: there is none either.
    """
    sender = campaign.sender or os.environ.get("MAIL_FROM", "")
    if not sender:
        raise ValueError("a message needs a sender: give sender=, or set MAIL_FROM for the workers")
    return msgspec.structs.replace(campaign, sender=sender)
