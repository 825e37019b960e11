"""What a job is, for people: the lines of its docstrings, its arguments, its options.

Descriptions of arguments stand under `Args:` in the docstring of `tasks`, as Google's style guide
has them (section 3.8.3).
"""

from __future__ import annotations

import ast
import dataclasses
import datetime
import enum
import inspect
import re
import sys
import uuid
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import msgspec

from ..wire.job_records import ArgumentInfo, JobInfo
from .arguments import named_parameters, wanted_type
from .contract import Options
from .conversion import described
from .files import PACKAGE, parsed
from .loading import Job, job_names

_SHOWN = 200
_AS_TEXT = (
    bytes,
    bytearray,
    Decimal,
    uuid.UUID,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)
_FUNCTIONS = ("tasks", "setup", "work", "collect", "report", "finish", "run_key")
_ARGUMENT = re.compile(r"\*{0,2}(\w+)(?: *\([^)]*\))?(?:, .*?)?: *(.*)")


def jobs_of(folder: Path) -> list[JobInfo]:
    """The jobs of a folder, by name. None of their code runs."""
    return [_read(folder, name) for name in job_names(folder)]


def _read(folder: Path, name: str) -> JobInfo:
    path = folder / f"{name}.py"
    try:
        tree = parsed(path.read_bytes())
    except OSError as error:
        return JobInfo(name, trouble=f"{path.name}: {error.strerror}")
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return JobInfo(name, trouble=f"{path.name}{line}: {said}")
    functions = {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    docs = [ast.get_docstring(tree), functions.get("tasks"), functions.get("work")]
    return JobInfo(name, _about(name, docs))


def description_of(job: Job) -> JobInfo:
    """All of a job that was imported."""
    docs = [inspect.getdoc(one) for one in (job.tasks, job.work) if one is not None]
    docs.insert(0, inspect.getdoc(sys.modules.get(f"{PACKAGE}.{job.name}")))
    abouts = _arguments_section(inspect.getdoc(job.tasks) or "") if job.tasks else {}
    arguments = [
        ArgumentInfo(
            name=name,
            kind=_kind(wanted_type(parameter, job.tasks)),
            default=None if parameter.default is parameter.empty else _default(parameter.default),
            about=abouts.get(name, ""),
        )
        for name, parameter in named_parameters(job.tasks).items()
    ]
    return JobInfo(
        name=job.name,
        about=_about(job.name, docs),
        arguments=arguments,
        functions=[name for name in _FUNCTIONS if getattr(job, name) is not None],
        options=_options(job.options),
        more=job.tasks is not None and _takes_any(job.tasks),
    )


def _takes_any(tasks: Any) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(tasks).parameters.values())


def _kind(wanted: Any) -> str:
    try:
        return described(wanted)
    except Exception:  # a type of the job's own may raise anything
        return "a value"


def _default(value: Any) -> str:
    """A default: a text in quotation marks if its argument is given as one, JSON, or as Python has
    it."""
    try:
        if isinstance(value, enum.Enum):
            return repr(value.name or str(value.value))
        if isinstance(value, _AS_TEXT):
            return repr(msgspec.to_builtins(value))
        if isinstance(value, PurePath):
            return repr(str(value))
        if isinstance(value, dict | list | tuple | set | frozenset):
            text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=0)
            return _cut(text.decode())
    except Exception:  # values of a job's own may raise anything
        pass
    return _shown(value)


def _shown(value: Any) -> str:
    """A value in one line, as Python has it."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return _cut(" ".join(text.split()))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _options(options: Options) -> list[str]:
    default = Options()
    return [
        f"{field.name}={_shown(getattr(options, field.name))}"
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != getattr(default, field.name)
    ]


def _about(name: str, docs: list[str | None]) -> str:
    """The first line that there is, without the file's own name before it."""
    for doc in docs:
        lines = (doc or "").strip().splitlines()
        if lines:
            line = lines[0].strip()
            return line.removeprefix(f"jobs/{name}.py: ").removeprefix(f"{name}: ")
    return ""


def _arguments_section(doc: str) -> dict[str, str]:
    """What stands under `Args:`, by argument. Lines that are indented more go on with one."""
    lines = doc.splitlines()
    starts = [place for place, line in enumerate(lines) if line.strip() in ("Args:", "Arguments:")]
    if not starts:
        return {}
    abouts: dict[str, str] = {}
    last, indent = "", 0
    for line in lines[starts[0] + 1 :]:
        text, depth = line.strip(), len(line) - len(line.lstrip())
        if not text:
            continue
        if not depth:
            break
        form = _ARGUMENT.fullmatch(text)
        if form is not None and depth <= (indent or depth):
            last, indent = form[1], depth
            abouts[last] = form[2]
        elif last:
            abouts[last] = f"{abouts[last]} {text}".strip()
    return abouts
