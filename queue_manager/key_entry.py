"""`python -m queue_manager.key_entry` writes an authkey into the file where programs look for it.

The key comes from standard input, and a terminal does not show it. So no shell's history, no
environment and no process list has it. A weak key is written, too, with a warning: the master
decides whether it accepts the key.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from .authkey import STRONG_KEY, weakness, write_file
from .errors import SettingsError
from .settings import load_settings

MOST_BYTES = 4_096
_MODE = 0o640


def read_key() -> bytes:
    """Read the key that is typed or piped in, without its line end.

    Raises:
        SettingsError: the key is empty, longer than `MOST_BYTES`, or has more than one line.
    """
    if sys.stdin.isatty():
        key = getpass.getpass("authkey of the master: ").encode("utf-8", "surrogateescape")
    else:
        key = sys.stdin.buffer.read(MOST_BYTES + 2)
    key = key.removesuffix(b"\n").removesuffix(b"\r")
    if not key:
        raise SettingsError("no authkey was given: type it, or pipe it in as one line")
    if len(key) > MOST_BYTES:
        raise SettingsError(f"the authkey is longer than {MOST_BYTES:,} bytes: take a shorter one")
    if b"\n" in key or b"\0" in key:
        raise SettingsError("the authkey has a line end or a zero byte in it: pipe in one line")
    return key


def keep_key(path: Path, key: bytes) -> None:
    """Write the key into its file, whole or not at all. It replaces an older key.

    Raises:
        SettingsError: the file can't be written; the line says why.
    """
    try:
        write_file(path, key + b"\n", _MODE, replace=True)
    except OSError as error:
        raise SettingsError(f"the authkey can't be kept in {path}: {error.strerror}") from error


def main() -> int:
    """Read the key and write it to its file. The exit code is 2 if that fails."""
    try:
        settings = load_settings()
        path = settings.queue_authkey_file or settings.master_data / "authkey"
        key = read_key()
        keep_key(path, key)
    except SettingsError as error:
        print(f"key: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):
        print("\nkey: no authkey was given, nothing has changed", file=sys.stderr)
        return 2
    print(f"key: kept in {path}", file=sys.stderr)
    weak = weakness(key)
    if weak:
        print(
            f"key: it is weak: {weak}. A master that other machines reach refuses it: take"
            f" {STRONG_KEY}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
