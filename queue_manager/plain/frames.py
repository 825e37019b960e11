"""Checks what the metadata of an Arrow table have pandas make, where it could take any memory.

Knows neither library. Source: the "pandas metadata" of pandas' developer guide, and how
`pyarrow.pandas_compat` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import ProtocolError

_LABELS = re.compile(r"[A-Za-z]{3}[A-Za-z-]*\d{0,3}(?:\[[^\[\]]*\])?")
"""Types of column names. None says how long a text is: each name would become as long."""

_CODES = re.compile(r"u?int(?:8|16|32|64)|object|category")
"""Types of a column of categories. For others pandas makes each value by itself."""


def check(metadata: Mapping[str, Any] | None, rows: int, coded: Collection[str], most: int) -> None:
    """Look at what a table of pandas says of itself.

    Args:
        metadata: what its schema has under `pandas`.
        rows: how many rows it has.
        coded: the names of its columns that are dictionaries.
        most: how many values its index may have that take no bytes.

    Raises:
        ProtocolError: pandas would make of it what takes far more memory, or it is none.
    """
    try:
        _check(metadata or {}, rows, coded, most)
    except (AttributeError, KeyError, TypeError):
        raise ProtocolError("a table of pandas has no metadata of pandas") from None


def _check(metadata: Mapping[str, Any], rows: int, coded: Collection[str], most: int) -> None:
    ranges = sum(not isinstance(level, str) for level in metadata.get("index_columns", ()))
    if ranges > 1 and ranges * rows > most:  # a single one stays a range
        raise ProtocolError("a table of pandas has an index of ranges that is too large")
    for labels in metadata.get("column_indexes", ()):
        for one in (labels["pandas_type"], labels["numpy_type"]):
            if not _LABELS.fullmatch(one):
                raise ProtocolError(
                    "a table of pandas has column names of a type that is not plain"
                )
    for column in metadata.get("columns", ()):
        name = column.get("field_name", column.get("name"))
        if name in coded and not _CODES.fullmatch(column["numpy_type"]):
            raise ProtocolError(
                "a table of pandas has a dictionary that is no category: cast it first"
            )
