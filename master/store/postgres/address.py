"""What MASTER_STORE says: which server, which database, which schema, and how it is trusted.

Owns the URL's reading and its text without the password. Opens no connection.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from queue_manager.errors import SettingsError
from queue_manager.settings import is_loopback

SCHEMES = ("postgresql://", "postgres://")
"""As in libpq, "Connection URIs"."""

DEFAULT_SCHEMA = "quartermaster"
FORM = "postgresql://USER:PASSWORD@HOST:5432/DATABASE?schema=NAME"

_SCHEMA = re.compile(r"(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,62}")
"""Names that SQL needs no quotes for. PostgreSQL keeps `pg_` for itself."""

_UNKNOWN = re.compile(r'invalid URI query parameter: "(\w+)"')


@dataclass(frozen=True)
class Address:
    """A schema of a database.

    Attributes:
        parameters: libpq's, by their names, the password among them: never to be shown.
        schema: the name of the schema.
        shown: the URL as people may see it, without a password.
    """

    parameters: Mapping[str, str] = field(repr=False)
    schema: str
    shown: str


def is_postgres(url: str) -> bool:
    """Whether a URL names a database of PostgreSQL."""
    return url.startswith(SCHEMES)


def parse_address(url: str, variable: str = "MASTER_STORE") -> Address:
    """Read a URL.

    `schema` in its query is ours. Everything else is libpq's, and so are its variables (PGPASSFILE)
    and files. Over a network the server's certificate and name are verified unless the URL or
    PGSSLMODE says otherwise.

    Args:
        url: such as `postgresql://user:password@host:5432/database?schema=name&sslmode=require`.
        variable: where it is from, as an error names it.

    Raises:
        SettingsError: it is no such URL, or psycopg is missing. The line has no password in it.
    """
    if not is_postgres(url):
        raise SettingsError(f"{variable}: expected {FORM}")
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise SettingsError(
            f"{variable} names PostgreSQL, and this Python has no psycopg that works"
            f" ({str(error).splitlines()[0]}): pip install 'quartermaster-queue[postgres]'"
        ) from error
    plain, schema = _split(url, variable)
    try:
        read = conninfo_to_dict(plain)
    except (ProgrammingError, UnicodeError) as error:
        # The text of libpq may have any part of the URL in it, the password too.
        unknown = _UNKNOWN.search(str(error))
        why = f"libpq has no parameter {unknown[1]!r}" if unknown else f"expected {FORM}"
        raise SettingsError(f"{variable} can't be read: {why}") from None
    parameters = {name: str(value) for name, value in read.items() if value not in (None, "")}
    _check_port(parameters.get("port", ""), variable)
    if set(parameters.get("host", "")) & set("@#?"):
        raise SettingsError(
            f"{variable}: write @ # / ? : % in a password as %40 %23 %2F %3F %3A %25"
        )
    if "search_path" in parameters.get("options", ""):
        raise SettingsError(f"{variable}: name the schema by schema=NAME, not by a search_path")
    _verify(parameters)
    return Address(parameters, schema, _shown(parameters, schema))


def _split(url: str, variable: str) -> tuple[str, str]:
    """The URL without our own parameters, and the schema."""
    login = url.find("@") if "@" in url.split("://", 1)[1].split("/", 1)[0] else 0
    at = url.find("?", max(login, 0))
    if at < 0:
        return url, DEFAULT_SCHEMA
    words = [word for word in url[at + 1 :].split("&") if word]
    ours = [unquote(word.partition("=")[2]) for word in words if word.startswith("schema=")]
    schema = next((name for name in reversed(ours) if name), DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema):
        raise SettingsError(
            f"{variable}: the schema {schema!r} has to be of a-z, 0-9 and _, begin with a letter,"
            " not with pg_, and have at most 63 characters"
        )
    kept = "&".join(word for word in words if not word.startswith("schema="))
    return url[:at] + (f"?{kept}" if kept else ""), schema


def _check_port(ports: str, variable: str) -> None:
    for port in ports.split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise SettingsError(f"{variable}: expected a port of 1 to 65535, not {port!r}")


def _verify(parameters: dict[str, str]) -> None:
    """Set how the server is trusted, where nobody has said it."""
    if "sslmode" not in parameters and not os.environ.get("PGSSLMODE") and not _is_near(parameters):
        parameters["sslmode"] = "verify-full"
    # Without this libpq looks into the user's home alone, and the library that comes in a wheel
    # does not know where this system has its certificates.
    own = Path("~/.postgresql/root.crt").expanduser()
    known = "sslrootcert" in parameters or os.environ.get("PGSSLROOTCERT") or own.exists()
    if parameters.get("sslmode") == "verify-full" and not known:
        parameters["sslrootcert"] = ssl.get_default_verify_paths().cafile or "system"


def _is_near(parameters: Mapping[str, str]) -> bool:
    """Whether each of the hosts is this machine: by loopback or by a socket."""
    named = parameters.get("hostaddr") or parameters.get("host") or ""
    hosts = named or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST") or ""
    return all(not host or host[0] in "/@" or is_loopback(host) for host in hosts.split(","))


def _shown(parameters: Mapping[str, str], schema: str) -> str:
    """The URL without its password, as a line of the log has it."""
    hosts = parameters.get("host", parameters.get("hostaddr", "")).split(",")
    ports = parameters.get("port", "").split(",")
    if len(ports) < len(hosts):
        ports = [ports[0]] * len(hosts)
    places = [
        quote(host, safe=":[]") + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    ]
    user = quote(parameters.get("user", ""), safe="")
    login = f"{user}@" if user else ""
    database = quote(parameters.get("dbname", ""), safe="")
    return f"postgresql://{login}{','.join(places)}/{database}?schema={schema}"
