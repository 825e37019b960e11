"""Who may open the pages, and where they are: two tokens and an address, in files.

The files are in MASTER_DATA/web, which this user alone can read. Whoever has the token `read` may
look. Whoever has `act` may also retry, cancel, submit. They are made at the first start.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from queue_manager.authkey import write_file
from queue_manager.errors import SettingsError
from queue_manager.settings import Settings

FOLDER = "web"
_ADDRESS = "address"
_LOOK_S = 2.0


@dataclass(frozen=True)
class Tokens:
    """What opens the pages. read: to look. act: to change something, too."""

    read: str
    act: str


def make_tokens(settings: Settings) -> Tokens:
    """The tokens, which the first call makes.

    Raises:
        SettingsError: they can be neither read nor made.
    """
    folder = settings.master_data / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Tokens(*(_made(folder / name) for name in ("read", "act")))
    except OSError as error:
        raise SettingsError(f"the tokens of the pages in {folder}: {error.strerror}") from error


def _made(path: Path) -> str:
    with contextlib.suppress(FileExistsError):
        token = secrets.token_urlsafe(32)
        write_file(path, f"{token}\n".encode(), 0o600, replace=False)
    token = path.read_text("utf-8").strip()
    if not token:
        raise SettingsError(f"the token of the pages in {path} is empty: delete the file")
    return token


def ended_path(settings: Settings) -> Path:
    """Where the pages keep which visits have ended by a log-out."""
    return settings.master_data / FOLDER / "ended"


def note_address(settings: Settings, address: str) -> None:
    """Say to commands of this machine where the pages are: HTTP://HOST:PORT."""
    path = settings.master_data / FOLDER / _ADDRESS
    with contextlib.suppress(OSError):  # a full disk takes nobody's pages away
        write_file(path, f"{address}\n".encode(), 0o600, replace=True)


def forget_address(settings: Settings) -> None:
    """The pages are no more."""
    with contextlib.suppress(OSError):
        (settings.master_data / FOLDER / _ADDRESS).unlink()


def link_of(settings: Settings, *, reading: bool = False, at: str = "") -> str:
    """The link to the pages of the master whose folder this is.

    reading: it opens them for looking only. at: HOST:PORT by which they are reached from elsewhere.

    Raises:
        SettingsError: no master serves pages from that folder.
    """
    folder = settings.master_data / FOLDER
    try:
        address = (folder / _ADDRESS).read_text("utf-8").strip()
        token = (folder / ("read" if reading else "act")).read_text("utf-8").strip()
    except OSError:
        raise _nowhere(settings) from None
    scheme, _, place = address.partition("://")
    if not at and not _answers(place):
        raise _nowhere(settings)
    return f"{scheme}://{_reachable(at or place)}/?token={token}"


def _nowhere(settings: Settings) -> SettingsError:
    where = f"MASTER_DATA={settings.master_data}"
    return SettingsError(
        f"no master with {where} serves pages now: start one with `qm serve`, and read its log"
    )


def _answers(place: str) -> bool:
    host, _, port = _reachable(place).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _LOOK_S):
            return True
    except (OSError, ValueError):
        return False


def _reachable(place: str) -> str:
    """An address that a browser can open: `0.0.0.0` means all of this machine's."""
    host, _, port = place.rpartition(":")
    if host.strip("[]") in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"{host}:{port}"
