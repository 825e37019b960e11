"""What is pickled may pack something itself, and other threads and processes pack meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import cloudpickle

from queue_manager import codec
from queue_manager.client.code import call_payload, pack
from queue_manager.client.code.calls import pickled_function
from tests.unit.queue_manager.client.code.conftest import Module, Run


def program(called: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a program, which calls one of a module."""
    space: dict[str, Any] = {"__name__": "__main__", "called": called}
    exec("def f(n):\n    return called(n)", space)
    made: Callable[..., Any] = space["f"]
    return made


def payload(function: Callable[..., Any], *args: Any) -> Any:
    """The payload of a call, as the slot gets it."""
    return codec.decode(call_payload(pickled_function(function), args).data)


class Nested:
    """An object that does something when it is pickled."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __getstate__(self) -> dict[str, Any]:
        self.act()
        return {}


def finished(function: Callable[[], Any]) -> Any:
    """What a function returns in a thread, which is not waited for for ever."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(60.0)
    assert found, "it hangs, or has raised"
    return found[0]


def test_an_object_that_is_pickled_may_pack_a_call_itself(module: Module, run: Run) -> None:
    first = module("first", "class Point:\n    x = 7\ndef x_of(_, p):\n    return p.x")
    second = module("second", "class Other:\n    y = 8\ndef y_of(p):\n    return p.y")
    inner: list[Any] = []

    def act() -> None:
        inner.append(payload(second.y_of, second.Other()))
        inner.append(pack(program(first.x_of)))

    outer = finished(lambda: payload(first.x_of, Nested(act), first.Point()))
    listed = cloudpickle.list_registry_pickle_by_value()
    assert not listed, "nothing is left in the list"
    assert run(pack(None, call="call"), inner[0]) == [8]
    assert len(inner) > 2, "the call was pickled again with its modules"
    for packed in inner[1::2]:
        assert "first.py" in packed.files, "the modules of the outer pickle are not by value here"
    assert run(pack(None, call="call"), outer) == [7], "its own modules are by value again"


def test_no_other_thread_sees_the_modules_of_a_pickle(module: Module) -> None:
    mine = module("mine", "class Point: pass\ndef double(n):\n    return 2 * n")
    function = program(mine.double)
    begun, threads = threading.Event(), list[threading.Thread]()
    packed: list[Any] = []

    def act() -> None:
        if not cloudpickle.list_registry_pickle_by_value() or threads:
            return
        threads.append(threading.Thread(target=other, daemon=True))
        threads[0].start()
        assert begun.wait(60.0)
        threads[0].join(0.05)  # it would be done by then, with a wrong pickle

    def other() -> None:
        begun.set()
        packed.append(pack(function))

    call_payload(None, (mine.Point(), Nested(act)))
    threads[0].join(60.0)
    assert "mine.py" in packed[0].files


def test_the_child_of_a_fork_packs_though_another_thread_of_its_parent_does(
    module: Module,
) -> None:
    mine = module("mine", "class Point: pass\ndef double(n):\n    return 2 * n")
    lent, going = threading.Event(), threading.Event()

    def act() -> None:
        if cloudpickle.list_registry_pickle_by_value():
            lent.set()
            assert going.wait(60.0)

    thread = threading.Thread(
        target=lambda: call_payload(None, (mine.Point(), Nested(act))), daemon=True
    )
    thread.start()
    assert lent.wait(60.0)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            files = pack(program(mine.double)).files
            listed = cloudpickle.list_registry_pickle_by_value()
            os._exit(0 if "mine.py" in files and not listed else 1)
        finally:
            os._exit(2)
    going.set()
    thread.join(60.0)
    assert os.waitpid(child, 0)[1] == 0
