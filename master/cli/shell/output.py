"""What `qm shell` prints of each command: a line of JSON, or what the command has printed."""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO, Literal

from ..plain_json import Line, to_json
from ..printing import tell
from .outcome import Outcome

Form = Literal["jsonl", "text", "tag"]
_COPY_BYTES = 1024 * 1024


def show(outcome: Outcome, form: Form) -> None:
    """Print one outcome at once. Raises OutputError if it can't be written."""
    if form == "jsonl":
        sys.stdout.write(line_of(outcome).json() + "\n")
        sys.stdout.flush()
        return
    tag = os.fsencode(outcome.given) + b"\t" if form == "tag" else b""
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        stream.flush()
        _copy(outcome.result or {}, name, stream.buffer, tag)
        stream.buffer.flush()
    if outcome.result is None:
        tell(f"qm: input {outcome.seq}: {outcome.error}")


def line_of(outcome: Outcome) -> Line:
    """An outcome as a line of JSON."""
    given = to_json(_plain(outcome.given))
    line = Line(seq=outcome.seq, input=given, command=to_json(outcome.command))
    if outcome.result is None:
        line.update(exit_code=None, signal=None, error=outcome.error)
    else:
        fields = {name: to_json(value) for name, value in outcome.result.items()}
        line.update({name: value for name, value in fields.items() if name != "seq"})
    return line


def _plain(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _copy(result: dict[str, Any], name: str, stream: BinaryIO, tag: bytes) -> None:
    """Write what a command has printed to one of its streams."""
    path = result.get(f"{name}_file")
    if path is not None and os.path.isfile(path):
        with open(path, "rb") as file:
            while lines := file.readlines(_COPY_BYTES):
                stream.writelines(tag + line for line in lines) if tag else stream.writelines(lines)
    else:
        printed = result.get(name, "")
        data = printed.encode() if isinstance(printed, str) else printed
        if tag:
            data = b"".join(tag + line for line in data.splitlines(keepends=True))
        stream.write(data)
    size_bytes = result.get(f"{name}_bytes")
    if size_bytes is not None and (path is None or not os.path.isfile(path)):
        where = (
            f"all of it is in {path}" if path else result.get(f"{name}_lost", "the rest is lost")
        )
        tell(f"qm: input {result.get('seq')}: {name} has {size_bytes:,} bytes; {where}")
