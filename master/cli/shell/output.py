"""What `qm shell` prints of each command: a line of JSON, or what the command has printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO, Literal

from queue_manager.plain.as_json import to_json
from queue_manager.terminal import harmless_line

from ..text.plain_json import Line
from ..text.printing import tell
from .outcome import Outcome

Form = Literal["jsonl", "text", "tag"]
_COPY_BYTES = 1024 * 1024
_SHOWN = 100
"""How many letters of an input are told of a failed command."""


def show(outcome: Outcome, form: Form, drop: bool) -> None:
    """Print one outcome at once. Raises OutputError if it can't be written.

    drop: the file of a large output goes when it was printed.
    """
    if form == "jsonl":
        sys.stdout.write(line_of(outcome).json() + "\n")
        sys.stdout.flush()
        return
    tag = os.fsencode(outcome.given) + b"\t" if form == "tag" else b""
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        stream.flush()
        path = _copy(outcome.result or {}, name, stream.buffer, tag)
        stream.buffer.flush()
        if path is not None and drop:  # not before all of it is out
            os.unlink(path)


def failed_line(outcome: Outcome) -> str:
    """What people read of a failed command where no line of JSON says so."""
    result = outcome.result
    if result is None:
        why = outcome.error
    elif result.get("timed_out"):
        why = "it took longer than --timeout"
    elif result.get("signal"):
        why = f"{result['signal']} has ended it"
    else:
        why = f"exit code {result.get('exit_code')}"
    given = outcome.given[:_SHOWN] + "..." * (len(outcome.given) > _SHOWN)
    return f"qm: input {outcome.seq} ({harmless_line(given)}): {why}"


def line_of(outcome: Outcome) -> Line:
    """An outcome as a line of JSON."""
    given = to_json(_plain(outcome.given))
    line = Line(seq=outcome.seq, input=given, command=to_json(outcome.command))
    if outcome.result is None:
        line.update(exit_code=None, signal=None, error=outcome.error)
    else:
        fields = {name: to_json(value) for name, value in outcome.result.items()}
        line.update({name: value for name, value in fields.items() if name not in ("seq", "check")})
    return line


def _plain(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _copy(result: dict[str, Any], name: str, stream: BinaryIO, tag: bytes) -> str | None:
    """Write what a command has printed to one of its streams. Returns the file it was in."""
    path: str | None = result.get(f"{name}_file")
    if path is not None and os.path.isfile(path):
        with open(path, "rb") as file:
            _write(stream, iter(lambda: file.read(_COPY_BYTES), b""), tag)
        return path
    printed = result.get(name, "")
    _write(stream, [printed.encode() if isinstance(printed, str) else printed], tag)
    size_bytes = result.get(f"{name}_bytes")
    if size_bytes is not None:
        lost = result.get(f"{name}_lost", "the rest is lost")
        where = f"all of it is in {path}, where it has run" if path else lost
        tell(f"qm: input {result.get('seq')}: {name} has {size_bytes:,} bytes; {where}")
    return None


def _write(stream: BinaryIO, parts: Iterable[bytes], tag: bytes) -> None:
    """Write parts of an output, with a tag before each of its lines."""
    fresh = True
    for part in parts:
        if not tag:
            stream.write(part)
            continue
        for line in part.splitlines(keepends=True):
            stream.write(tag + line if fresh else line)
            fresh = line.endswith(b"\n")
