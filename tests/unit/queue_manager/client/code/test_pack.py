"""How a function becomes the files of a job, and that such files run where nothing else is."""

from __future__ import annotations

import functools
import io
import json
import math
import operator
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from queue_manager import Options, codec
from queue_manager.client.code import call_payload, pack
from queue_manager.client.code.calls import pickled_function
from queue_manager.errors import CannotTravelError, QueueError
from queue_manager.job.files import version_of
from queue_manager.job.tags import python_tag
from tests.unit.queue_manager.client.code.conftest import Module, Run

HERE = [python_tag()]


def by_value(source: str, name: str, **names: Any) -> Callable[..., Any]:
    """A function of a program, as it is in a notebook or a script."""
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, space)
    made: Callable[..., Any] = space[name]
    return made


# --- by source ---


def test_a_function_of_a_module_travels_with_what_its_module_imports(
    module: Module, run: Run
) -> None:
    module("parts.deep", "FACTOR = 3")
    module("parts.__init__", imported=False)
    module("parts.inner", "from .deep import FACTOR")
    module(
        "beside", "import nobody_imports_this_when_it_travels if False else None", imported=False
    )
    module("unrelated", "SECRET = 1")
    mine = module("mine", "from parts.inner import FACTOR\ndef times(n):\n    return n * FACTOR")
    packed = pack(mine.times)
    others = {"mine.py", "parts/__init__.py", "parts/inner.py", "parts/deep.py"}
    assert packed.job == "times"
    assert packed.files.keys() == {"times.py", *others}
    assert packed.version == version_of(packed.files)
    assert packed.options.needs == []  # any Python runs source
    assert run(packed, 1, 2) == [3, 6]


def test_setup_and_options_of_the_module_come_along(module: Module, run: Run) -> None:
    mine = module(
        "mine",
        """
        from queue_manager import Options, codec
        OPTIONS = Options(attempts=7, concurrency=5, memory_bytes=2**33, timeout_s=2.5)
        READY = []
        def setup():
            READY.append(1)
        async def count(n):
            return n + len(READY)
        """,
    )
    packed = pack(mine.count)
    assert (packed.options.attempts, packed.options.timeout_s) == (7, 2.5)
    assert run(packed, 1, whole=True) == [[2], 5, 2**33]
    packed = pack(mine.count, options=Options(attempts=1, concurrency=9))
    assert packed.options.attempts == 1
    assert run(packed, 1, whole=True) == [[2], 9, None]


def test_a_setup_of_the_module_that_is_no_setup_of_a_job_stays_out(
    module: Module, run: Run
) -> None:
    mine = module("mine", "def setup(app):\n    1 / 0\ndef double(n):\n    return 2 * n")
    assert run(pack(mine.double), 4) == [8]


def test_the_name_of_the_job_is_that_of_no_module_that_travels(module: Module, run: Run) -> None:
    module("helper_", "X = 2")
    mine = module("helper", "import helper_\ndef helper(n):\n    return n + helper_.X")
    packed = pack(mine.helper)
    assert packed.job == "helper__"
    assert run(packed, 1) == [3]


@pytest.mark.parametrize("name", ["Kind.fixed", "Kind.made"])
def test_functions_within_classes_have_a_name_too(module: Module, run: Run, name: str) -> None:
    mine = module(
        "mine",
        """
        class Kind:
            @staticmethod
            def fixed(n):
                return n + 1
            @classmethod
            def made(cls, n):
                return n + 1
        """,
    )
    packed = pack(operator.attrgetter(name)(mine))
    assert packed.options.needs == []
    assert run(packed, 1) == [2]


def test_a_module_that_was_edited_travels_as_it_is_on_disk(
    module: Module, project: Path, run: Run
) -> None:
    mine = module("mine", "def plus(n):\n    return n + 1")
    (project / "mine.py").write_text("def plus(n):\n    return n + 2")
    assert run(pack(mine.plus), 1) == [3]


def test_a_module_called_worker_is_the_users_in_a_slot(module: Module) -> None:
    mine = module("worker", "def plus(n):\n    return n + 1")
    assert b"import jobs.worker as _module" in pack(mine.plus).files["plus.py"]


def test_a_module_of_a_folder_of_jobs_travels_as_jobs_find_it(module: Module, run: Run) -> None:
    module("jobs.helper", "STEP = 5")
    mine = module("jobs.mine", "from jobs.helper import STEP\ndef plus(n):\n    return n + STEP")
    packed = pack(mine.plus)
    assert packed.files.keys() == {"plus.py", "mine.py", "helper.py"}
    assert run(packed, 1) == [6]


def test_a_file_that_went_is_one_line(module: Module, project: Path) -> None:
    mine = module("mine", "def plus(n):\n    return n + 1")
    (project / "mine.py").unlink()
    with pytest.raises(CannotTravelError, match=r"^plus can't travel: can't read .*/mine.py: No"):
        pack(mine.plus)


# --- by reference ---


@pytest.mark.parametrize(
    ("function", "payload", "result"),
    [(math.sqrt, 9, 3.0), (json.loads, "[1]", [1]), (str.upper, "a", "A"), (int, "7", 7)],
)
def test_what_is_installed_is_imported_on_the_worker(
    run: Run, function: Callable[..., Any], payload: Any, result: Any
) -> None:
    packed = pack(function)
    assert packed.files.keys() == {f"{packed.job}.py"}
    assert packed.options.needs == []
    assert run(packed, payload) == [result]


def test_a_ufunc_of_numpy_is_imported_on_the_worker(run: Run) -> None:
    packed = pack(numpy.sqrt)
    assert packed.files.keys() == {"sqrt.py"}
    assert packed.options.needs == []


# --- by value ---


def test_a_lambda_travels_as_a_pickle_for_the_same_python(run: Run) -> None:
    factor = 3
    packed = pack(lambda n: n * factor)
    assert packed.job == "lambda_"
    assert packed.files.keys() == {"lambda_.py", "lambda_.pickle"}
    assert packed.options.needs == HERE
    assert run(packed, 2) == [6]


def test_what_a_function_of_the_program_refers_to_travels_as_source(
    module: Module, run: Run
) -> None:
    module("deep", "STEP = 5")
    helper = module("helper", "import deep\ndef add(n):\n    return n + deep.STEP")
    module("later", "LATE = 100", imported=False)
    source = "def main(n):\n    import later\n    return helper.add(n) + later.LATE"
    packed = pack(by_value(source, "main", helper=helper))
    sources = {name for name in packed.files if name.endswith(".py")}
    assert sources == {"main.py", "helper.py", "deep.py", "later.py"}
    assert run(packed, 1) == [106]


def test_partials_bound_methods_and_objects_that_are_called(module: Module, run: Run) -> None:
    mine = module(
        "mine",
        """
        class Adder:
            def __init__(self, step):
                self.step = step
            def add(self, n):
                return n + self.step
            def __call__(self, n):
                return n - self.step
        class Later(Adder):
            async def __call__(self, n):
                return n * self.step
        """,
    )
    adder = mine.Adder(4)
    for function, result in (
        (adder.add, 14),
        (functools.partial(mine.Adder.add, adder), 14),
        (adder, 6),
        (mine.Later(4), 40),
    ):
        packed = pack(function)
        assert packed.files.keys() >= {"mine.py", f"{packed.job}.pickle"}
        assert run(packed, 10) == [result]


def test_arrays_of_any_size_that_fits_travel_with_a_function(run: Run) -> None:
    """From 64 KiB on, the pickler hands over what they hold without a copy."""
    table = numpy.arange(8192.0)
    source = "def f(n): return float(table[n])"
    for function in (
        by_value(source, "f", table=table),
        lambda n: float(table[n]),
        functools.partial(numpy.ndarray.item, table),
        _Holder(table).item,
    ):
        assert run(pack(function), 8191) == [8191.0]


def test_an_array_that_is_too_large_is_named() -> None:
    table = numpy.zeros(2_000_000)
    with pytest.raises(CannotTravelError, match="its variable 'table' takes more than the"):
        pack(lambda n: float(table[n]))


def test_tags_that_the_options_ask_for_stay() -> None:
    packed = pack(lambda n: n, options=Options(needs={"gpu"}))
    assert packed.options.needs == ["gpu", python_tag()]


def test_a_pickle_of_another_python_is_one_line_and_is_not_loaded(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queue_manager.client.code import by_value as module

    monkeypatch.setattr(module, "stamped", lambda data: b"python3.8\n" + data)
    with pytest.raises(AssertionError, match=r"from Python 3\.8 and this worker has Python 3\.\d+"):
        run(pack(lambda n: n), 1)


# --- calls ---


def test_star_takes_the_payload_apart(module: Module, run: Run) -> None:
    mine = module("mine", "async def later(a, b):\n    return a - b")
    assert run(pack(pow, call="star"), (2, 5), [3, 2]) == [32, 9]
    assert run(pack(mine.later, call="star"), (2, 5)) == [-3]


def payload(function: Callable[..., Any] | None, *args: Any, **kwargs: Any) -> Any:
    """The payload of a call, as the slot gets it."""
    data = None if function is None else pickled_function(function)
    return codec.decode(call_payload(data, args, kwargs or None).data)


def test_a_call_says_what_is_called(module: Module, run: Run) -> None:
    mine = module("mine", "class Point:\n    x = 7\ndef x_of(p, *, plus=0):\n    return p.x + plus")
    module("helper", "def double(n):\n    return 2 * n")
    from helper import double  # type: ignore[import-not-found]

    source = "def main(n, more=0):\n    return double(n) + more"
    function = by_value(source, "main", double=double)
    payloads = [
        payload(None, mine.Point(), plus=1),
        payload(max, 3, 4),
        payload(function, 1, more=5),
        payload(by_value("async def later(n):\n    return n", "later"), 9),
    ]
    assert isinstance(payloads[0][1], bytes)
    assert payloads[1][1:] == ((3, 4), None)
    assert run(pack(mine.x_of, call="call"), *payloads) == [8, 4, 7, 9]
    assert run(pack(None, call="call"), payloads[2]) == [7]
    assert pack(None, call="call").options.needs == HERE


def test_functions_of_payloads_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from queue_manager.job import uploaded

    loaded: list[bytes] = []
    load = uploaded.load
    monkeypatch.setattr(uploaded, "load", lambda data: loaded.append(data) or load(data))
    monkeypatch.setattr(uploaded, "_functions", type(uploaded._functions)())
    work = uploaded.called(None)
    plus_one = payload(lambda n: n + 1, 1)
    assert [work(plus_one) for _ in range(3)] == [2, 2, 2]
    assert len(loaded) == 1
    for number in range(uploaded.KEPT):
        work(payload(functools.partial(max, number), 1))
    assert len(uploaded._functions) == uploaded.KEPT
    work(plus_one)
    assert len(loaded) == uploaded.KEPT + 2


# --- what can't travel ---


class _Holder:
    def __init__(self, held: Any) -> None:
        self.held = held

    def method(self, n: int) -> int:
        return n

    def item(self, n: int) -> float:
        return float(self.held[n])


def _lines() -> list[tuple[str, Callable[[], Any], str]]:
    lock = threading.Lock()
    open_file = io.TextIOWrapper(io.FileIO("/dev/null"))

    def inner(n: int) -> object:
        return lock

    return [
        ("lock", lambda: lambda n: lock, "the lambda can't travel: its variable 'lock' is a lock"),
        ("file", lambda: lambda n: open_file, "its variable 'open_file' is an open file: open it"),
        ("nested", lambda: lambda n: inner(n), "its variable 'lock' of its variable 'inner' is"),
        ("default", lambda: lambda n, at=lock: n, "the default of its parameter 'at' is a lock"),
        ("partial", lambda: functools.partial(max, lock), "max can't travel: its argument 1 is"),
        ("method", lambda: _Holder(lock).method, "its attribute 'held' of its object (self) is a"),
        (
            "generator",
            lambda: by_value("def f(n): return g", "f", g=(i for i in "ab")),
            "its global",
        ),
        (
            "large",
            lambda: by_value("def f(n): return g", "f", g=b"x" * 9_000_000),
            "'g' takes more",
        ),
        ("yields", lambda: by_value("def f(n): yield n", "f"), "it has a yield"[10:]),
        (
            "two",
            lambda: lambda a, b: a,
            "the lambda can't be the work of tasks: it takes 2 arguments, and an input is one:"
            " pass 2 iterables of inputs",
        ),
        ("none", lambda: 3, "3 can't be called"),
    ]


@pytest.mark.parametrize("case", range(11))
def test_what_cannot_travel_is_one_line_that_names_the_variable(case: int) -> None:
    _, make, said = _lines()[case]
    with pytest.raises(CannotTravelError) as caught:
        pack(make())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, QueueError | TypeError)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((1, threading.Lock()), {}, "the call can't travel: argument 2 of nap is a lock or thread"),
        ((), {"at": threading.Lock()}, "the call can't travel: argument 'at' of nap is a lock"),
        (([threading.Lock()],), {}, "its item 0 of argument 1 of nap is a lock"),
    ],
)
def test_an_argument_that_cannot_travel_is_named_as_the_caller_knows_it(
    args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotTravelError) as caught:
        call_payload(None, args, kwargs, "nap")
    assert said in str(caught.value)


def test_a_socket_is_named() -> None:
    line = "its variable 'connection' is a socket"
    with socket.socket() as connection, pytest.raises(CannotTravelError, match=line):
        pack(lambda n: connection)


def test_source_that_is_too_large_is_one_line(module: Module) -> None:
    mine = module("mine", "def plus(n):\n    return n + 1\n#" + "x" * 9_000_000)
    with pytest.raises(CannotTravelError, match=r"the largest is mine.py \(9,000,0\d\d bytes\)"):
        pack(mine.plus)


def test_a_compiled_module_of_the_user_is_one_line(module: Module, project: Path) -> None:
    mine = module("mine", "def plus(n):\n    return n + 1")
    mine.__file__ = str(project / "mine.cpython.so")
    with pytest.raises(CannotTravelError, match=r"mine is no Python source .*: install it on the"):
        pack(lambda n: mine.plus(n))


def test_packing_imports_nothing(module: Module) -> None:
    """Of a module that a function would import later, the file alone is read."""
    module("later", "raise SystemExit", imported=False)
    packed = pack(by_value("def f(n):\n    import later", "f"))
    assert "later.py" in packed.files
    assert "later" not in sys.modules
