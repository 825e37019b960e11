"""The log of a process as lines of JSON, for programs that collect logs (QUEUE_LOG=json).

It is apart from `log_lines`, because it is loaded only where it is asked for.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import LogData
from pythonjsonlogger.msgspec import MsgspecFormatter

from .terminal import STEERING, is_text


class JsonFormatter(MsgspecFormatter):
    """One object a line: time, level, logger, message, and of some fields what is known.

    fields: their names, which a record has as attributes. always: those of all lines.

    A text may hold anything. Newlines and control characters are escaped, as JSON has it, so a line
    stays one line.
    """

    def __init__(self, fields: Sequence[str], always: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields, self._always = fields, always

    def jsonify_log_record(self, log_data: LogData) -> str:
        """The line. What steers a terminal or ends lines elsewhere is escaped, too."""
        return STEERING.sub(_escaped, super().jsonify_log_record(log_data))

    def process_log_record(self, log_data: LogData) -> LogData:
        """Only what is here gets into a line, whatever else a library has put into a record."""
        return log_data

    def add_fields(
        self, log_data: LogData, record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fill in the fields of a line, in their order."""
        at = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = at.isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = _text(record.getMessage())
        for name in self._fields:
            value = getattr(record, name, self._always.get(name))
            if value is not None:
                log_data[name] = _text(value) if isinstance(value, str) else value
        if record.exc_info:
            log_data["exception"] = _text(str(self.formatException(record.exc_info)))
        if record.stack_info:
            log_data["stack"] = _text(str(self.formatStack(record.stack_info)))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _text(text: str) -> str:
    """A text that UTF-8 can hold: names of files and arguments may have any bytes."""
    return text if is_text(text) else text.encode("utf-8", "backslashreplace").decode()
