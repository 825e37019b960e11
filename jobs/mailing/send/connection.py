"""A connection to a mail server: opened, encrypted, logged in, and a message handed over.

smtplib does the talking. The end of the data is sent by itself, behind a note on disk: before it
the server can't have taken the message.
"""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ..campaign import Tls
from ..letter.message import Message
from .errors import Broken, Refused, Unknown, Unusable, WrongSetup
from .servers import TLS_PORT, Login, Server

CONNECT_S = 30.0
ANSWER_S = 300.0
TAKE_S = 600.0
"""How long a server may take to connect, to answer, and to take a message behind the end of its
data (RFC 5321, 4.5.3.2)."""

MOST_LINES = 100
MOST_BYTES = 64 * 1024
"""The most of one answer of a server."""

_PIECE_BYTES = 8192
_LINE_BEGINS_WITH_A_DOT = re.compile(rb"(?m)^\.")


class Connection:
    """A session with a server that may hand over many messages, one after the other.

    Raises:
        Unusable: the server can't be reached, is not who it says, or lets nobody in.
    """

    def __init__(self, server: Server, tls: Tls, login: Login | None) -> None:
        self.server, self.messages = server, 0
        self.opened_at = self.used_at = time.monotonic()
        try:
            self._smtp = _opened(server, tls)
            if login is not None:
                _log_in(server, self._smtp, login)
        except smtplib.SMTPResponseException as error:
            refused = Refused(error.smtp_code, error.smtp_error)
            raise Unusable(f"{server}: {refused}", too_many=refused.too_many) from None
        except ssl.SSLCertVerificationError as error:
            raise Unusable(f"{server} is not who it says: {error.verify_message}") from None
        except (OSError, ValueError, smtplib.SMTPException) as error:
            # A ValueError is about the name: it has a label that is empty or too long.
            raise Unusable(f"{server} can't be used: {error}") from None

    def send(self, message: Message, data: bytes, begin: Callable[[], bool]) -> str:
        """Hand over a message; returns the server's words.

        Args:
            data: the bytes of the message, with CRLF.
            begin: notes that the end of the data goes out. If it gives False, it does not.

        Raises:
            Refused: the server has answered no.
            Broken: the connection broke, and the server has not taken the message for certain.
            Unknown: it broke when the server may have taken it, or the answer has no meaning.
            InterruptedError: `begin` has said no. The connection is closed, as it is when `begin`
                raises.
        """
        try:
            self._offer(message, data)
            self._look_for_end()
        except (OSError, smtplib.SMTPException) as error:  # also smtplib's own, which are OSErrors
            self.close()
            raise Broken(f"{self.server}: {error}") from None
        try:
            if not begin():
                raise InterruptedError
        except BaseException:
            self.close()  # the server waits for the end of the data
            raise
        code, words = self._end_of_data()
        self.used_at = time.monotonic()
        self.messages += 1
        if not 200 <= code < 300:
            raise self._refused(code, words)
        return f"{code} {Refused(code, words).words}"

    def _end_of_data(self) -> tuple[int, bytes]:
        """Send the end of the data; gives the answer, which is a yes or a no."""
        try:
            self._wait_at_most(TAKE_S)
            self._smtp.send(b".\r\n")
            code, words = self._smtp.getreply()
            self._wait_at_most(ANSWER_S)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise Unknown(f"{self.server}: {error}") from None
        if not (200 <= code < 300 or 400 <= code < 600):
            self.close()
            raise Unknown(f"{self.server}: its answer to the message has no meaning: {code}")
        return code, words

    def _wait_at_most(self, seconds: float) -> None:
        if self._smtp.sock is not None:
            self._smtp.sock.settimeout(seconds)

    def _offer(self, message: Message, data: bytes) -> None:
        options = [f"SIZE={len(data)}"] if self._smtp.has_extn("size") else []
        if message.needs_utf8:
            if not self._smtp.has_extn("smtputf8"):
                words = "this server takes no addresses with letters outside ASCII (SMTPUTF8)"
                raise Refused(553, f"5.6.7 {words}")
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        self._consent(*self._smtp.mail(message.bounces, options), to_recipient=False)
        self._consent(*self._smtp.rcpt(message.to.envelope))
        self._smtp.putcmd("DATA")
        begun, answer = self._smtp.getreply()
        if begun != 354:
            self._no(begun, answer)
        self._smtp.send(_LINE_BEGINS_WITH_A_DOT.sub(b"..", data))
        if not data.endswith(b"\r\n"):
            self._smtp.send(b"\r\n")

    def _consent(self, code: int, words: bytes, *, to_recipient: bool = True) -> None:
        if not 200 <= code < 300:
            self._no(code, words, to_recipient=to_recipient)

    def _no(self, code: int, words: bytes, *, to_recipient: bool = True) -> NoReturn:
        """Raise a refusal, and make the session ready for the next message."""
        refused = self._refused(code, words, to_recipient=to_recipient)
        try:
            if self.is_open:
                self._smtp.rset()
        except (OSError, smtplib.SMTPException):  # the server has closed it behind its answer
            self.close()
        raise refused

    def _refused(self, code: int, words: bytes, *, to_recipient: bool = True) -> Refused:
        if code == 421 or code < 400:  # it goes away, or says what nobody understands
            self.close()
        return Refused(max(code, 400), words, to_recipient=to_recipient)

    def _look_for_end(self) -> None:
        """Raise OSError if the server has closed the connection already."""
        sock = self._smtp.sock
        if sock is None:
            raise ConnectionResetError("the connection is closed")
        with (
            socket.socket(fileno=os.dup(sock.fileno())) as raw,
            contextlib.suppress(BlockingIOError),
        ):
            if not raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise ConnectionResetError("the server has closed the connection")

    @property
    def is_open(self) -> bool:
        """Whether it can take another message, as far as is known."""
        return self._smtp.sock is not None

    def close(self, *, in_order: bool = False) -> None:
        """End the session; in order: after a QUIT that the server answers."""
        if in_order and self._smtp.sock is not None:
            self._smtp.sock.settimeout(2.0)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self._smtp.quit()
        self._smtp.close()


class _Answers:
    """The lines of a server's answers, as smtplib reads them from a file.

    The time that the socket has for a read is that for a whole answer here. More than `MOST_LINES`
    or `MOST_BYTES` is an OSError, which ends the connection: a server may answer without an end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._read = sock, b""
        self.begin()

    def begin(self) -> None:
        """The next line begins an answer."""
        self._lines = self._bytes = 0
        self._patience_s = self._sock.gettimeout()
        self._began_at, self._has_waited = time.monotonic(), False

    def readline(self, most: int) -> bytes:
        """The next line, or its begin; nothing if the server has closed the connection."""
        while b"\n" not in self._read and len(self._read) < most:
            data = self._received()
            if not data:
                break
            self._read += data
        end = self._read.find(b"\n", 0, most) + 1 or most
        line, self._read = self._read[:end], self._read[end:]
        self._lines += 1
        self._bytes += len(line)
        if self._lines > MOST_LINES or self._bytes > MOST_BYTES:
            raise OSError(f"an answer has more than {MOST_LINES} lines or {MOST_BYTES:,} bytes")
        return line

    def _received(self) -> bytes:
        if self._patience_s is None or not self._has_waited:
            self._has_waited = True
            return self._sock.recv(_PIECE_BYTES)
        left_s = self._patience_s - (time.monotonic() - self._began_at)
        if left_s <= 0:
            raise TimeoutError("the answer has taken too long")
        try:
            self._sock.settimeout(left_s)
            return self._sock.recv(_PIECE_BYTES)
        finally:
            self._sock.settimeout(self._patience_s)

    def close(self) -> None:
        """The socket is closed by itself."""


class _Patient:
    """Connects soon or not at all, waits longer for the greeting, and for no answer for ever."""

    sock: socket.socket | None
    file: Any

    def getreply(self) -> tuple[int, bytes]:
        """The next answer."""
        if self.file is None and self.sock is not None:
            self.file = _Answers(self.sock)
        if self.file is not None:
            self.file.begin()
        found: tuple[int, bytes] = super().getreply()  # type: ignore[misc]
        return found

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        found = super()._get_socket(host, port, CONNECT_S)  # type: ignore[misc]
        found.settimeout(timeout)
        return found


class _Smtp(_Patient, smtplib.SMTP):
    pass


class _SmtpTls(_Patient, smtplib.SMTP_SSL):
    pass


def _opened(server: Server, tls: Tls) -> smtplib.SMTP:
    name = os.environ.get("MAIL_HELO") or None
    context = ssl.create_default_context()
    if tls == "opportunistic":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls != "off" and server.port == TLS_PORT:
        return _SmtpTls(*server, local_hostname=name, timeout=ANSWER_S, context=context)
    smtp = _Smtp(*server, local_hostname=name, timeout=ANSWER_S)
    try:
        smtp.ehlo_or_helo_if_needed()
        if tls == "verified" or (tls == "opportunistic" and smtp.has_extn("starttls")):
            smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
    except BaseException:
        smtp.close()
        raise
    return smtp


def _log_in(server: Server, smtp: smtplib.SMTP, login: Login) -> None:
    """Log in. An error has the code alone: a server's words may have the command that it did not
    understand, and that command has the password."""
    try:
        sock = smtp.sock
        if not isinstance(sock, ssl.SSLSocket) or sock.context.verify_mode != ssl.CERT_REQUIRED:
            raise WrongSetup(f"{server} can't be used: a login is only sent with tls=verified")
        smtp.login(*login)
    except smtplib.SMTPResponseException as error:
        smtp.close()
        refused = Refused(error.smtp_code, error.smtp_error)
        said = f"{server} refuses the worker's login: {refused.code_alone}"
        raise Unusable(said, too_many=refused.too_many) from None
    except smtplib.SMTPServerDisconnected:
        raise
    except (ValueError, smtplib.SMTPException):  # its ways, or its questions, are none we know
        smtp.close()
        raise Unusable(f"{server} knows no way to take the worker's login") from None
    except BaseException:
        smtp.close()
        raise
