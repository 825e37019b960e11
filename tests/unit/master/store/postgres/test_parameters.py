"""Values as binary parameters: a real server reads them as what they are."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import pq

from master.store.postgres.address import parse_address
from master.store.postgres.link.connection import close, connect
from master.store.postgres.link.parameters import parameter

TEXT, BINARY = pq.Format.TEXT, pq.Format.BINARY


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bytea", [None, None]),
        ("bytea", [None, b"a"]),
        ("bigint", [None]),
        ("bigint", [1, None]),
        ("text", []),
        ("float8", [None, 1.5]),
        ("float8", [3, None, 0.5]),
    ],
)
def test_an_array_is_of_the_type_that_the_statement_says(
    store_url: str, kind: str, values: list[Any]
) -> None:
    """One of which all values are NULL, too: its values tell nothing of their type."""
    connection = connect(parse_address(store_url), "a")
    one = parameter(values)
    query = f"SELECT count(*), count(x) FROM unnest($1::{kind}[]) AS t (x)".encode()
    result = connection.pgconn.exec_params(
        query, [one.value], [one.type], [BINARY if one.type else TEXT]
    )
    assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
    there = len([value for value in values if value is not None])
    assert (result.get_value(0, 0), result.get_value(0, 1)) == (
        str(len(values)).encode(),
        str(there).encode(),
    )
    close(connection)
