"""The authkey: where it comes from, and whether it is strong enough for where it is used.

Owns the key's text and file; knows nothing of handshakes.
"""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from .errors import SettingsError
from .settings import Settings, is_loopback, others_reach

STRONG_BYTES = 8
VARIABLES = ("QUEUE_AUTHKEY", "QUEUE_AUTHKEY_FILE")
_POLL_S = 0.1

log = logging.getLogger(__name__)


def without_key(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that runs code of a job: it has no use for the key."""
    return {name: text for name, text in environ.items() if name not in VARIABLES}


def hide_key() -> None:
    """Take the key out of this process's environment, which its children and `/proc` show.

    `unsetenv` alone leaves the text in the memory that `/proc/PID/environ` is read from.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in VARIABLES:
        place = libc.getenv(name.encode())
        if place:
            ctypes.memset(place, ord("*"), len(ctypes.string_at(place)))
        os.environ.pop(name, None)


def find_authkey(settings: Settings, wait_s: float = 0.0) -> bytes:
    """The key of a worker or another client.

    Args:
        settings: names the key, its file, or the master's data folder.
        wait_s: how long to wait for a key file that is not there yet, in seconds.

    Raises:
        SettingsError: there is no key; one line that says what to set.
    """
    if settings.queue_authkey is not None:
        return settings.queue_authkey.encode("utf-8", "surrogateescape")
    path = settings.queue_authkey_file or settings.master_data / "authkey"
    deadline = time.monotonic() + wait_s
    while True:
        key = _read(path)
        if key is not None:
            return key
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise SettingsError(_missing(settings, path))
        time.sleep(min(_POLL_S, left_s))


def master_authkey(settings: Settings) -> bytes:
    """The key of the master, made at random where it is safe to do so.

    A key shorter than 8 bytes is logged as a warning where only this machine or a compose
    network can reach the queue.

    Raises:
        SettingsError: no key is set and the queue can be reached from other machines, the key
            is too weak for that, or its file can be neither read nor made.
    """
    key = _key_of_master(settings)
    if len(key) < STRONG_BYTES:
        _check_weak(settings, len(key))
    return key


def _key_of_master(settings: Settings) -> bytes:
    if settings.queue_authkey is not None:
        return find_authkey(settings)
    if settings.queue_authkey_file is not None:
        path = settings.queue_authkey_file
        return _read(path) or _make(path, 0o640, "QUEUE_AUTHKEY_FILE")
    if not is_loopback(settings.queue_bind):
        raise SettingsError(
            f"QUEUE_AUTHKEY is not set and QUEUE_BIND={settings.queue_bind} can be reached "
            "from other machines: set QUEUE_AUTHKEY or QUEUE_AUTHKEY_FILE"
        )
    path = settings.master_data / "authkey"
    key = _read(path)
    if key is None:
        _make_folder(path.parent)
        key = _make(path, 0o600, "MASTER_DATA")
    return key


def _check_weak(settings: Settings, length: int) -> None:
    short = f"the authkey has {length} bytes, fewer than {STRONG_BYTES}"
    if not others_reach(settings):
        log.warning("%s: fine for a trial on this machine only", short)
    elif settings.queue_allow_weak_authkey:
        log.warning("%s, and other machines can try to guess it", short)
    else:
        where = (
            f"QUEUE_PUBLISH={settings.queue_publish}"
            if settings.queue_publish is not None
            else f"QUEUE_BIND={settings.queue_bind}"
        )
        raise SettingsError(
            f"{short}, and {where} can be reached from other machines: take a longer "
            "QUEUE_AUTHKEY, or set QUEUE_ALLOW_WEAK_AUTHKEY=1"
        )


def _read(path: Path) -> bytes | None:
    """The key in a file; None if there is no such file."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"the authkey cannot be read: {path}: {error.strerror}") from error
    key = text.removesuffix(b"\n").removesuffix(b"\r")
    if not key:
        raise SettingsError(f"the authkey file {path} is empty: write a key into it or delete it")
    return key


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"MASTER_DATA={folder}: the folder cannot be made: {error.strerror}"
        ) from error


def _make(path: Path, mode: int, variable: str) -> bytes:
    """Write a random key; of several that start at once, one wins and all return its key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(draft, mode)  # whatever the umask is
            os.link(draft, path)  # whole or not at all, and never over another's key
        finally:
            os.unlink(draft)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(
            f"{variable}: there is no authkey at {path} and none can be made: {error.strerror}"
        ) from error
    key = _read(path)
    if key is None:
        raise SettingsError(f"the authkey file {path} was deleted while the master started")
    return key


def _missing(settings: Settings, path: Path) -> str:
    if settings.queue_authkey_file is not None:
        return f"QUEUE_AUTHKEY_FILE={path}: there is no such file"
    return (
        f"QUEUE_AUTHKEY is not set and there is no {path}: set QUEUE_AUTHKEY to the master's "
        "key, or QUEUE_AUTHKEY_FILE to its file"
    )
