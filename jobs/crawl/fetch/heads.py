"""Answers that browsers take and aiohttp's parser refuses, though what they hold is clear.

Two equal Content-Length headers are one. Beside `Transfer-Encoding: chunked` the header does not
count (RFC 9112, 6.3). Bytes after a body are dropped with their connection. Nothing else is mended:
two different lengths are an error. Only an answer that aiohttp refused costs time here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError

MOST_BYTES = 256 * 1024
"""How much may come before the end of a head that was refused."""

_END = re.compile(rb"\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d\b.*?\n\r?\n", re.S)
_LENGTH = re.compile(rb"content-length[ \t]*:(.*)", re.I | re.S)
_CHUNKED = re.compile(rb"transfer-encoding[ \t]*:.*\bchunked\s*", re.I | re.S)

_Fed = tuple[Sequence[tuple[Any, Any]], bool, bytes]
_NOTHING: _Fed = ((), False, b"")


class _Connection(ResponseHandler):
    """A connection that reads the head of each answer with a parser of ours."""

    def set_response_params(self, **options: Any) -> None:
        super().set_response_params(**options)
        self._parser = _Beginning(self, self._parser, options)  # type: ignore[assignment]

    def parser_of(self, options: Mapping[str, Any]) -> Any:
        """A new parser of one answer, as aiohttp makes it."""
        of_parser = {name: value for name, value in options.items() if name in _OF_PARSER}
        of_parser["response_with_body"] = not options.get("skip_payload", False)
        of_parser["payload_exception"] = ClientPayloadError
        return HttpResponseParser(self, self._loop, self._read_bufsize, **of_parser)

    def is_connected(self) -> bool:
        # Nobody asked for what is in the buffer. The next request would take it for its answer.
        return not self._buffer and super().is_connected()


_OF_PARSER = {
    "timer",
    "read_until_eof",
    "auto_decompress",
    "max_line_size",
    "max_field_size",
    "max_headers",
}


class _Beginning:
    """Parses the head of an answer, and leaves the rest to aiohttp's parser."""

    def __init__(self, connection: _Connection, parser: Any, options: Mapping[str, Any]) -> None:
        self._connection, self._parser, self._options = connection, parser, options
        self._came = b""
        self._refused: HttpProcessingError | None = None

    def feed_data(self, data: bytes) -> _Fed:
        """Parse what came next. Raises HttpProcessingError for what no browser would take."""
        self._came += data
        if self._refused is None:
            try:
                fed: _Fed = self._parser.feed_data(data)
            except HttpProcessingError as error:
                self._refused = error
            else:
                if fed[0] and fed[0][-1][0].code >= 200:  # not "100 Continue" and its kin
                    self._connection._parser = self._parser
                return fed
        return self._mended(self._refused)

    def _mended(self, refused: HttpProcessingError) -> _Fed:
        while (interim := _INTERIM.match(self._came)) is not None:
            self._came = self._came[interim.end() :]
        end = _END.search(self._came)
        if end is None:
            if len(self._came) > MOST_BYTES:
                raise refused
            return _NOTHING
        head = mended(self._came[: end.end()])
        if head is None:
            raise refused
        connection = self._connection
        self._parser = connection._parser = connection.parser_of(self._options)
        connection.force_close()
        fed: _Fed = self._parser.feed_data(head)
        # The head is accepted, so an error after it can't undo it.
        _, payload = fed[0][-1]
        try:
            self._parser.feed_data(self._came[end.end() :])
        except HttpProcessingError as error:
            if not payload.is_eof():
                payload.set_exception(ClientPayloadError(str(error)))
            if connection.transport is not None:
                connection.transport.close()
        return fed

    def feed_eof(self) -> Any:
        """The connection has ended."""
        return self._parser.feed_eof()

    def pause_reading(self) -> None:
        """The body comes faster than it is read."""
        self._parser.pause_reading()


def take_what_browsers_take(connector: TCPConnector) -> None:
    """Let the connections of a connector read answers with this module."""
    made: functools.partial[Any] = functools.partial(_Connection, loop=connector._loop)
    connector._factory = made


def mended(head: bytes) -> bytes | None:
    """The head with one length. None if it has two different ones."""
    lines = head.splitlines(keepends=True)
    lengths = [found[1] for line in lines if (found := _LENGTH.match(line)) is not None]
    said = {part.strip() for value in lengths for part in value.split(b",")}
    chunked = any(_CHUNKED.fullmatch(line) for line in lines)
    if len(said) > 1 and not chunked:
        return None
    kept = [line for line in lines if _LENGTH.match(line) is None]
    if said and not chunked:
        kept.insert(1, b"Content-Length: " + said.pop() + b"\r\n")
    return b"".join(kept)
