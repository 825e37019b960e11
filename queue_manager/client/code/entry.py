"""The entry module of an uploaded function: `NAME.py`, which a slot loads like any job."""

from __future__ import annotations

import keyword
from typing import Any, Literal

from ...job.contract import Options
from ...job.files import PACKAGE
from ...job.uploaded import MARK
from .origin import Named

Call = Literal["one", "star", "call"]
"""How `work` calls the function: `f(payload)`, `f(*payload)`, or as the payload says."""

_TAKEN = "worker"
"""A slot has our own package of this name in memory, so a user's module has another one there."""

UNPICKLING = (
    "from queue_manager.job.uploaded import from_file as _from_file",
    "_from_file(__file__)",
)
"""As `importing`, for a function that comes in a pickle beside its entry."""

_MAKERS = {"one": "one", "star": "star", "call": "called"}


def entry(
    source: str,
    function: str,
    call: Call,
    beside: str,
    options: Options | None,
    block: str = "",
) -> bytes:
    """The text of an entry.

    source: the line that imports what `function`, an expression, names. beside: the line that
        imports `setup` and OPTIONS; empty for none. options: written into it. A slot needs only
        two of them, so the others don't make another version. block: what the function's file says
        it needs, as in `job.needs`.
    """
    lines = [f"{MARK.decode()} `work` calls it."]
    lines += block.splitlines()
    lines.append(f"from queue_manager.job.uploaded import {_MAKERS[call]} as _made_work")
    lines += [line for line in (source, beside) if line]
    lines.append(f"work = _made_work({function})")
    if options is not None:
        lines.append("from queue_manager import Options as _Options")
        kept = f"concurrency={options.concurrency!r}, memory_bytes={options.memory_bytes!r}"
        lines.append(f"OPTIONS = _Options({kept})")
    return "".join(f"{line}\n" for line in lines).encode()


def importing(found: Named) -> tuple[str, str]:
    """The line that imports a function, and the expression that names it then."""
    return f"import {imported(found.module)} as _module", f"_module.{found.name}"


def imported(module: str) -> str:
    """The name by which an entry imports a module."""
    return f"{PACKAGE}.{module}" if module.partition(".")[0] == _TAKEN else module


def job_name(function: Any, taken: set[str]) -> str:
    """The job's name for a function, which none of the modules that it needs has. taken: those."""
    while hasattr(function, "func"):  # a partial
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    name = "call" if function is None else name
    if name == "<lambda>" or name == "lambda":
        name = "lambda_"
    if not name.isidentifier() or keyword.iskeyword(name) or name == "__init__":
        name = "function"
    name = name[:100]
    while name in taken:
        name += "_"
    return name
