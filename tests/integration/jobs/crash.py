"""Its tasks() kills its process."""

import ctypes


def tasks():
    yield ctypes.string_at(0)


def work(n):
    return n
