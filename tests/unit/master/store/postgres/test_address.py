"""What MASTER_STORE says: servers, schemas, trust, and lines without a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from master.store.postgres.address import parse_address
from queue_manager.errors import SettingsError

SECRET = "s3cret/with:signs@and?more"
QUOTED = "s3cret%2Fwith%3Asigns%40and%3Fmore"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGHOST", "PGHOSTADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_url_gives_the_parameters_of_libpq_and_a_schema() -> None:
    address = parse_address(
        f"postgresql://me:{QUOTED}@db.example.org:6432/queue?schema=ours&sslmode=require"
    )
    assert address.parameters == {
        "user": "me",
        "password": SECRET,
        "host": "db.example.org",
        "port": "6432",
        "dbname": "queue",
        "sslmode": "require",
    }
    assert address.schema == "ours"


@pytest.mark.parametrize("tail", ["", "?sslmode=disable", "?schema=", "?schema=&sslmode=disable"])
def test_a_url_without_a_schema_has_the_default_one(tail: str) -> None:
    assert parse_address(f"postgres://127.0.0.1/queue{tail}").schema == "quartermaster"


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("127.0.0.1", None),
        ("[::1]:5432", None),
        ("localhost", None),
        ("%2Fvar%2Frun%2Fpostgresql", None),
        ("", None),
        ("192.0.2.1", "verify-full"),
        ("127.0.0.1,192.0.2.1", "verify-full"),
    ],
)
def test_the_server_is_verified_over_a_network(host: str, mode: str | None) -> None:
    address = parse_address(f"postgresql://{host}/queue?schema=a")
    assert address.parameters.get("sslmode") == mode
    assert ("sslrootcert" in address.parameters) == (mode is not None)


def test_who_says_how_the_server_is_trusted_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://192.0.2.1/queue"
    assert parse_address(f"{url}?sslmode=disable").parameters["sslmode"] == "disable"
    own = parse_address(f"{url}?sslrootcert=/our/ca.pem").parameters
    assert (own["sslmode"], own["sslrootcert"]) == ("verify-full", "/our/ca.pem")
    monkeypatch.setenv("PGSSLMODE", "require")
    assert "sslmode" not in parse_address(url).parameters


def test_the_host_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "192.0.2.1")
    assert parse_address("postgresql:///queue").parameters["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{QUOTED}@192.0.2.1:1/q", "postgresql://me@192.0.2.1:1/q"),
        ("postgresql://me@[::1]/q?password=s3cret", "postgresql://me@::1/q"),
        ("postgresql://a:1,b:2/q", "postgresql://a:1,b:2/q"),
    ],
)
def test_nobody_sees_the_password(url: str, shown: str) -> None:
    address = parse_address(url)
    assert address.shown == f"{shown}?schema=quartermaster"
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///queue", "expected postgresql://USER"),
        ("postgresql://me:s3cret@[::1/queue", "expected postgresql://USER"),
        ("postgresql://me:s3cret%zz@host/queue", "expected postgresql://USER"),
        ("postgresql://me:s3cret@host:s3cret/queue", "expected"),
        ("postgresql://me:s3cret@host:99999/queue", "expected a port of 1 to 65535"),
        ("postgresql://me:s3cret@host/queue?shema=a", "libpq has no parameter 'shema'"),
        ("postgresql://me:s3cret@host/queue?schema=A-b", "the schema 'A-b' has to be of a-z"),
        ("postgresql://me:s3cret@host/queue?schema=pg_a", "the schema 'pg_a'"),
        ("postgresql://me@host/queue?schema=information_schema", "the schema 'information_schema'"),
        ("postgresql://me:a@s3cret@host/queue", "in a password as %40"),
        ("postgresql://me:s3cret@host/queue?options=-csearch_path%3Da", "by schema=NAME"),
    ],
)
def test_a_wrong_url_is_one_line_without_its_password(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"^MASTER_STORE") as caught:
        parse_address(url)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert "me:s3cret" not in line


def test_without_psycopg_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"pip install 'quartermaster-queue\[postgres\]'"):
        parse_address("postgresql://127.0.0.1/queue")
