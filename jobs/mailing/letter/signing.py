"""DKIM: signs a message with the key of a file, so that receivers know that the sender sent it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import dkim

from ..campaign import Campaign
from .message import Message

_HEADERS = (
    b"from",
    b"to",
    b"reply-to",
    b"subject",
    b"date",
    b"message-id",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
)


class WrongKeyError(Exception):
    """A key of DKIM can't be read, or is none."""


def signed(message: Message, campaign: Campaign) -> bytes:
    """The bytes of a message, signed where the campaign has a key.

    Raises:
        WrongKeyError: the key can't be read, or is none.
    """
    if not campaign.dkim_key:
        return message.data
    domain = campaign.dkim_domain or message.sender.ascii_domain
    try:
        signature: bytes = dkim.sign(
            message.data,
            (campaign.dkim_selector or "mail").encode("ascii"),
            domain.encode("idna"),
            _key(campaign.dkim_key, os.stat(campaign.dkim_key).st_mtime_ns),
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=list(_HEADERS),
        )
    except (dkim.DKIMException, ValueError, IndexError) as error:
        raise WrongKeyError(f"dkim_key={campaign.dkim_key!r} signs nothing: {error}") from None
    except OSError as error:
        why = f"dkim_key={campaign.dkim_key!r} can't be read by the worker: {error.strerror}"
        raise WrongKeyError(why) from None
    return signature + message.data


@functools.lru_cache(maxsize=4)
def _key(path: str, changed_ns: int) -> bytes:
    return Path(path).read_bytes()
