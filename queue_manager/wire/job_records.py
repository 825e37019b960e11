"""The records of `JobList`: what the jobs of a folder are, as people are told of them."""

from __future__ import annotations

import msgspec


class ArgumentInfo(msgspec.Struct, frozen=True):
    """One argument of a job's `tasks()`.

    kind: what it is, for people, such as "a whole number". default: a text as Python writes it, or
    JSON; None: the argument must be given. about: what the docstring says of it.
    """

    name: str
    kind: str
    default: str | None = None
    about: str = ""


class JobInfo(msgspec.Struct, frozen=True):
    """One job.

    about: the first line of its docstring. trouble: why its file can't be read. The rest is known
    only if the job was asked for by its name. functions: those that it has. options: what its
    OPTIONS have beside the defaults, each as `name=value`. more: its `tasks()` takes arguments of
    any name.
    """

    name: str
    about: str = ""
    trouble: str = ""
    arguments: list[ArgumentInfo] = []
    functions: list[str] = []
    options: list[str] = []
    more: bool = False
