"""Roles as administrators make them: what they are set to, and what they may not do."""

from __future__ import annotations

import threading

import pytest

from master.changes import Changes
from master.store.postgres.address import parse_address
from master.store.postgres.link.connection import connect
from master.store.postgres.ownership.me import Me, mark_of
from master.store.postgres.ownership.standby import Standby
from tests.integration.processes import eventually
from tests.postgres_server import PostgresServer
from tests.unit.master.store_records import opened


@pytest.mark.parametrize(
    "setting",
    ["standard_conforming_strings = off", "array_nulls = off", "client_encoding = 'LATIN1'"],
)
def test_what_a_role_is_set_to_changes_no_meaning(
    postgres: PostgresServer, store_url: str, setting: str
) -> None:
    with postgres.superuser() as db:
        db.execute(f"ALTER ROLE quartermaster SET {setting}")
    try:
        with connect(parse_address(store_url), "a") as connection:
            assert connection.info.encoding == "utf-8"
        store = opened(store_url)[0]
        store.commit(Changes(workers={"痛点": True}))
        assert store._reads(lambda db: list(db.rows("workers"))) == [("痛点",)]
        store.close()
    finally:
        with postgres.superuser() as db:
            db.execute("ALTER ROLE quartermaster RESET ALL")


def test_a_schema_that_is_there_needs_no_right_to_make_one(
    postgres: PostgresServer, schema: str
) -> None:
    with postgres.superuser("queue") as db:
        db.execute("CREATE ROLE low LOGIN PASSWORD 'low'")
        db.execute(f"CREATE SCHEMA {schema} AUTHORIZATION low")
    try:
        opened(f"postgresql://low:low@127.0.0.1:{postgres.port}/queue?schema={schema}")[0].close()
    finally:
        with postgres.superuser("queue") as db:
            db.execute("DROP OWNED BY low CASCADE")
            db.execute("DROP ROLE low")


def test_a_master_with_another_key_takes_nothing_over(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The clients of the others could not use it."""
    address = parse_address(store_url)

    def standby(name: str, key: bytes) -> Standby:
        return Standby(Me(address, name, "", "1", key_mark=mark_of(key, address)))

    owned = standby("first", b"the key").wait()
    assert owned is not None
    owned[1].start()
    other = standby("other", b"another key")
    waiting = threading.Thread(target=other.wait, daemon=True)
    waiting.start()
    line = "the authkey of first is another one: this master takes nothing over"
    try:
        eventually(lambda: line in caplog.text, 20, line)
        owned[0].release()
        same = standby("third", b"the key").wait()
        assert same is not None
        same[0].release()
    finally:
        other.stop()
        waiting.join(20)
    assert not waiting.is_alive()
