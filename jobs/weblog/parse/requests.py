"""Methods and paths of requests' lines, as they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import mixed


def split(request: bytes) -> tuple[bytes, bytes]:
    """The method and the path of a request's line.

    A text that is no request's line, such as one of a TLS handshake, is a path without a method.
    """
    words = request.split(b" ")
    if len(words) == 3 and words[2][:5] == b"HTTP/":
        return words[0], words[1]
    method, _, rest = request.partition(b" ")
    if not rest or not method.isalpha() or not method.isupper():
        return b"-", request
    return method, rest.rpartition(b" HTTP/")[0] or rest


def methods_and_paths(requests: Any) -> tuple[Any, Any]:
    """The same for a binary array; two arrays."""
    if isinstance(requests, pa.ChunkedArray):
        requests = requests.combine_chunks()
    words = pc.split_pattern(requests, b" ")
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    starts = np.cumsum(lengths) - lengths
    flat = pc.list_flatten(words)
    regular = lengths == 3
    third = flat.take(pa.array(starts[regular] + 2))
    regular[regular] = pc.starts_with(third, b"HTTP/").to_numpy(zero_copy_only=False)
    if regular.all():
        return flat.take(pa.array(starts)), flat.take(pa.array(starts + 1))
    odd = [split(value) for value in requests.filter(pa.array(~regular)).to_pylist()]
    found = []
    for place in (0, 1):
        good = flat.take(pa.array(starts[regular] + place))
        others = pa.array([pair[place] for pair in odd], pa.binary())
        found.append(mixed(regular, good, others))
    return found[0], found[1]
