"""Connections to a real server: what each of them has, and the line of one that fails."""

from __future__ import annotations

import psycopg
import pytest

from master.store.postgres.address import parse_address
from master.store.postgres.link import connection as connections
from master.store.postgres.link.connection import close, connect, one_line, session_name
from queue_manager.errors import StoreError
from tests.postgres_server import PostgresServer


def test_a_connection_has_its_schema_its_name_and_its_time_outs(
    postgres: PostgresServer, store_url: str, schema: str
) -> None:
    connection = connect(parse_address(store_url), "a/7")
    try:
        names = ["search_path", "application_name", "tcp_user_timeout", "tcp_keepalives_idle"]
        values = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        assert values == [(schema,), ("quartermaster/a/7",), ("3000",), ("1",)]
        assert connection.autocommit
    finally:
        close(connection)
    assert connection.closed
    close(connection)


def test_a_socket_needs_no_password(postgres: PostgresServer, schema: str) -> None:
    connection = connect(parse_address(postgres.socket_dsn(schema)), "a")
    assert connection.execute("SELECT 1").fetchone() == (1,)
    close(connection)


def test_the_parameters_of_the_url_come_first(postgres: PostgresServer, schema: str) -> None:
    url = postgres.dsn(schema, options="-c work_mem=5MB", keepalives_idle="7")
    connection = connect(parse_address(url), "a")
    assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
    assert connection.execute("SHOW search_path").fetchone() == (schema,)
    assert connection.info.get_parameters()["keepalives_idle"] == "7"
    close(connection)


def test_nobody_there_is_one_line(postgres: PostgresServer) -> None:
    url = postgres.dsn("a", port=1)
    with pytest.raises(
        StoreError, match=r"^can't reach postgresql://quartermaster@127.0.0.1:1/"
    ) as e:
        connect(parse_address(url), "a")
    assert "refused" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_wrong_password_is_one_line_without_it(postgres: PostgresServer) -> None:
    url = f"postgresql://quartermaster:wr0ng@127.0.0.1:{postgres.port}/queue"
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        connect(parse_address(url), "a")
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("a/1", "quartermaster/a/1"),
        ("Köln/1", "quartermaster/K?ln/1"),
        ("x" * 60 + "/12", "quartermaster/" + "x" * 46 + "/12"),
    ],
)
def test_a_session_is_called_so_that_the_server_keeps_it(role: str, name: str) -> None:
    assert session_name(role) == name


def test_an_error_of_several_lines_is_one_line() -> None:
    assert one_line(RuntimeError("a\n\tb\n")) == "a; b"
    assert one_line(RuntimeError()) == "RuntimeError"
    assert len(one_line(RuntimeError("x" * 1000))) == 303


def test_a_pooler_in_between_is_one_line(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler gives the client a number of its own for the session."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1)
    with pytest.raises(StoreError, match=r"can't use \S+: a pooler answers there, [^\n]+$"):
        connect(parse_address(postgres.dsn(schema)), "a")


def test_a_server_that_says_nothing_behind_the_login_is_given_up(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader has no patience of its own: its thread would wait for a silent proxy for ever."""
    monkeypatch.setattr(connections, "CONNECT_S", 0.05)
    monkeypatch.setattr(connections, "_WHO_ANSWERS", "SELECT pg_sleep(60)")
    with pytest.raises(StoreError, match="has not answered within"):
        connect(parse_address(store_url), "tests")
