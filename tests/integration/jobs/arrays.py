"""Arrays and a table as payloads and results."""

import numpy as np
import pandas as pd


def tasks():
    for n in range(3):
        yield np.full((2, 2), n, "f4")
    yield {"frame": pd.DataFrame({"a": [1, 2]})}


def work(value):
    if isinstance(value, dict):
        return value["frame"] * 2
    return [value.mean(), value * 2]


def collect(value, result):
    if isinstance(value, dict):
        print("frame", list(result["a"]))
    else:
        print(type(result[0]).__name__, result[1].dtype, result[1].sum())
