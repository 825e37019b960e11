"""The authkey: where it comes from, and whether it is strong enough for its use.

This module owns the key's text and file. It knows nothing of handshakes.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
import secrets
import time
from pathlib import Path

from .errors import NoKeyError, SettingsError
from .settings import Settings, is_loopback, others_reach, reached_by
from .wire.handshake import SALT_BYTES

STRONG_BYTES = 16
STRONG_KEY = "what `python3 -c 'import secrets; print(secrets.token_urlsafe(16))'` prints"
_TRIAL_BYTES = 8
_DIFFERENT_BYTES = 8
_STRONG_BITS = 112  # `_bits` counts at least this for 16 raw random bytes

_BITS_OF_A_LETTER = 2.0  # in words; a letter of English has 1 to 1.5 (Shannon 1951)
_BITS_OF_A_CHARACTER = 6.0  # in text beyond ASCII, such as Chinese
_WORDS = re.compile(rb"[A-Z]?[a-z]*([ ,.\-_][A-Z]?[a-z]*)*|[A-Z]*([ ,.\-_][A-Z]*)*")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_KINDS = tuple(
    (re.compile(kind), size)
    for kind, size in (
        (rb"[0-9]", 10),
        (rb"[a-z]", 26),
        (rb"[A-Z]", 26),
        (rb"[^0-9A-Za-z\0-\x1f\x7f-\xff]", 33),
        (rb"[\0-\x1f\x7f-\xff]", 161),
    )
)

SALT = "salt"
"""The file beside the store that has the installation's salt, in hex."""
_POLL_S = 0.1

log = logging.getLogger(__name__)


def find_authkey(settings: Settings, wait_s: float = 0.0) -> bytes:
    """Find the key of a worker or another client.

    Args:
        settings: have the key, its file, or the master's data folder.
        wait_s: how many seconds to wait for a key file that is not there yet.

    Raises:
        NoKeyError: there is no key. Its one line says what to set.
        SettingsError: the key's file can't be read, or is empty.
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
            raise NoKeyError(_missing(settings, path))
        time.sleep(min(_POLL_S, left_s))


def master_authkey(settings: Settings) -> bytes:
    """Find the key of the master, or make a random one where that is safe.

    If only this machine or a compose network can reach the queue, a weak key is accepted. One that
    is shorter than 8 bytes is logged as a warning.

    Raises:
        SettingsError: other machines can reach the queue, and no key is set or it is too weak; or
            the key's file can be neither read nor made.
    """
    key = _key_of_master(settings)
    weak = weakness(key)
    if weak:
        _check_weak(settings, key, weak)
    return key


def installation_salt(settings: Settings) -> bytes:
    """The salt of a master's installation, which is made once.

    It makes guesses at recorded handshakes good for one installation only. It is no secret: the
    server sends it in its first frame.

    Raises:
        SettingsError: the file can be neither read nor made, or has no salt in it.
    """
    path = settings.master_data / SALT
    text = _read(path)
    if text is None:
        _make_folder(path.parent)
        text = _make(path, 0o600, "MASTER_DATA", secrets.token_hex(SALT_BYTES))
    try:
        salt = bytes.fromhex(text.decode())
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise SettingsError(f"{path} is no salt ({2 * SALT_BYTES} hex digits): delete it")
    return salt


def _key_of_master(settings: Settings) -> bytes:
    if settings.queue_authkey is not None:
        return find_authkey(settings)
    if settings.queue_authkey_file is not None:
        path = settings.queue_authkey_file
        return _read(path) or _make(path, 0o640, "QUEUE_AUTHKEY_FILE", secrets.token_urlsafe(32))
    if not is_loopback(settings.queue_bind):
        raise SettingsError(
            f"QUEUE_AUTHKEY is not set and QUEUE_BIND={settings.queue_bind} can be reached "
            "from other machines: set QUEUE_AUTHKEY or QUEUE_AUTHKEY_FILE"
        )
    path = settings.master_data / "authkey"
    key = _read(path)
    if key is None:
        _make_folder(path.parent)
        key = _make(path, 0o600, "MASTER_DATA", secrets.token_urlsafe(32))
    return key


def _check_weak(settings: Settings, key: bytes, weak: str) -> None:
    complaint = f"the authkey is weak: {weak}"
    if not others_reach(settings):
        if len(key) < _TRIAL_BYTES:
            log.warning("%s. Fine for a trial on this machine only", complaint)
    elif settings.queue_allow_weak_authkey:
        log.warning("%s. Other machines can try to guess it", complaint)
    else:
        raise SettingsError(
            f"{complaint}, and {reached_by(settings)} can be reached from other machines: take"
            f" {STRONG_KEY} {_place(settings)}, or set QUEUE_ALLOW_WEAK_AUTHKEY=1"
        )


def _place(settings: Settings) -> str:
    """Where the key belongs by these settings, as an error says it."""
    if settings.queue_authkey is not None:
        return "as QUEUE_AUTHKEY"
    path = settings.queue_authkey_file or settings.master_data / "authkey"
    in_compose = " (docker compose run --rm key)" if settings.queue_publish_known else ""
    return f"as the key in {path}{in_compose}"


def weakness(key: bytes) -> str:
    """Why a key counts as weaker than 16 random bytes; empty if it does not.

    Randomness can't be measured. So this is a rule that random keys of that strength pass, in hex,
    in base64 or as raw bytes. Keys that are short, repeat themselves, count up or down, or are made
    of words do not pass.
    """
    if len(key) < STRONG_BYTES:
        return f"it has {len(key)} bytes, fewer than {STRONG_BYTES}"
    if len(set(key)) < _DIFFERENT_BYTES:
        return f"it has {len(set(key))} different bytes, fewer than {_DIFFERENT_BYTES}"
    period = (key + key).find(key, 1)
    steps = sum(abs(one - two) <= 1 for one, two in itertools.pairwise(key))
    if period < len(key) or 2 * steps > len(key):
        return "it repeats itself, or counts up or down"
    if _bits(key) < _STRONG_BITS:
        return "it looks like words, digits or too short a text, not like 16 random bytes"
    return ""


def _bits(key: bytes) -> float:
    """How many bits the key counts as, by the kinds of bytes in it."""
    if _WORDS.fullmatch(key):
        return _BITS_OF_A_LETTER * len(key)
    if _HEX.fullmatch(key):
        return 4.0 * len(key)
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    if 2 * sum(character > "\x7f" for character in text) > len(text):
        return _BITS_OF_A_CHARACTER * len(text)
    return math.log2(sum(size for kind, size in _KINDS if kind.search(key))) * len(key)


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


def write_file(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    """Write a file and sync it. A reader finds the whole file or none.

    Args:
        path: the file's name. The file gets it when it is whole.
        data: the file's bytes.
        mode: the file's permissions, whatever the umask is.
        replace: whether the file replaces an older one. False: an older file stays.

    Raises:
        FileExistsError: there is an older file, and `replace` is False.
        OSError: the file can't be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, mode)
        give_name = os.replace if replace else os.link  # `link` never replaces a file
        give_name(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _make(path: Path, mode: int, variable: str, text: str) -> bytes:
    """Write a random text to a file. If several masters do so at once, all return the same text."""
    try:
        write_file(path, f"{text}\n".encode(), mode, replace=False)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(
            f"{variable}: there is no {path.name} at {path} and none can be made: {error.strerror}"
        ) from error
    key = _read(path)
    if key is None:
        raise SettingsError(f"the file {path} was deleted while the master started")
    return key


def _missing(settings: Settings, path: Path) -> str:
    if settings.queue_authkey_file is not None:
        return f"QUEUE_AUTHKEY_FILE={path}: there is no such file"
    return (
        f"QUEUE_AUTHKEY is not set and there is no {path}: set QUEUE_AUTHKEY to the master's "
        "key, or QUEUE_AUTHKEY_FILE to its file"
    )
