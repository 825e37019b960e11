"""What stands before the time of a line: the client, who it is, and perhaps a virtual host."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import Mask, mixed
from .places import BLANK, DASH

_NOBODY = [BLANK, DASH, BLANK, DASH, BLANK]
_WORD = rb"[^\t\n\f\r ]+"  # `\S` of RE2: `\v` is no space to it
_HEAD = re.compile(
    rb"(?:(?:[^\t\n\f\r :\[]+|\[[^\t\n\f\r \]]+\]):\d+ )?(" + _WORD + rb") " + _WORD + rb" .+ "
)
"""As COMMON of `patterns` has it. It takes a time that is linear in the length of a head."""


def clients_of(heads: Any) -> tuple[Any, Mask]:
    """The client of each head, and which heads have none.

    Args:
        heads: a binary array of pyarrow, each value once, such as `192.0.2.1 - - `.
    """
    plain = _plain(heads)
    clients = pc.binary_slice(heads, 0, -len(_NOBODY))
    if plain.all():
        return clients, ~plain
    found = [_HEAD.fullmatch(head) for head in heads.filter(pa.array(~plain)).to_pylist()]
    others = pa.array([match[1] if match else b"" for match in found], pa.binary())
    bad = np.zeros(len(plain), np.bool_)
    bad[~plain] = [match is None for match in found]
    return mixed(plain, clients.filter(pa.array(plain)), others), bad


def _plain(heads: Any) -> Mask:
    """Which heads are a word and ` - - `."""
    _, places, data = heads.buffers()
    begins = np.frombuffer(places, np.int32)[heads.offset : heads.offset + len(heads) + 1]
    text = np.frombuffer(data, np.uint8)[: begins[-1]]
    blanks = np.zeros(len(text) + 1, np.int32)
    np.cumsum(text <= BLANK, out=blanks[1:])
    ends = begins[1:]
    plain = np.diff(begins) > len(_NOBODY)
    plain &= np.diff(blanks[begins]) == _NOBODY.count(BLANK)
    for place, sign in enumerate(_NOBODY):
        plain &= text[ends - len(_NOBODY) + place] == sign
    return plain
