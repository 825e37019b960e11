"""joblib's own tests of a backend, run against ours.

They are those of the joblib that is installed: `joblib.test.test_parallel`. RUN says which, and
with which parameters; LEFT_OUT says which other tests of a backend there are, and why they are not
run.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from joblib.test import test_parallel as theirs

import queue_manager.joblib  # noqa: F401 - registers the backend
from tests.integration.processes import Master

pytestmark = pytest.mark.timeout(300)

NAME = "quartermaster"
GENERATOR = {"return_as": ["generator"]}
TWO = {"n_jobs": [2]}
ALL = {"n_jobs": [-1]}

RUN: dict[str, dict[str, list[Any]]] = {
    "test_simple_parallel": ALL | {"verbose": [11]},
    "test_main_thread_renamed_no_warning": {},
    "test_nested_loop": {"parent_backend": [NAME], "child_backend": ["threading"]},
    "test_parallel_timeout_success": {},
    "test_parallel_timeout_fail": {},
    "test_parallel_timeout_fail_with_generator": {"return_as": ["generator_unordered"]},
    "test_error_in_task_iterator": {},
    "test_batching_auto_subprocesses": {},
    "test_invalid_njobs": {},
    "test_njobs_converted_to_int": {"n_jobs": ["2"]},
    "test_parallel_unordered_generator_returns_fastest_first": TWO,
    "test_abort_backend": ALL,
    "test_deadlock_with_generator": TWO | GENERATOR,
    "test_multiple_generator_call": TWO | GENERATOR,
    "test_multiple_generator_call_managed": TWO | {"return_as": ["generator_unordered"]},
    "test_multiple_generator_call_separated": ALL
    | {"return_as_1": ["generator"], "return_as_2": ["generator_unordered"]},
    "test_multiple_generator_call_separated_gc": {
        "backend, error": [(NAME, False)],
        "return_as_1": ["generator"],
        "return_as_2": ["generator"],
    },
    "test_lambda_expression": {},
    "test_backend_batch_statistics_reset": {},
}
"""The tests, and the values of their parameters besides `backend`. Not all of joblib's: the rest
says the same of our backend, which has no pool that depends on them."""

_POOL = "it looks at the pool of a backend of joblib's own"
_NAMED = "it is about backends of joblib's own, by name"
_HERE = "it needs calls with n_jobs=1 to run in this program; ours runs them in a worker"
LEFT_OUT = {
    "test_parallel_pretty_print": "its time limits are of local threads and processes",
    "test_background_thread_parallelism": "it uses no backend but the default one",
    "test_parallel_as_context_manager": _POOL,
    "test_error_capture": f"{_POOL}; test_joblib has the errors",
    "test_dispatch_one_job": _HERE,
    "test_nested_backend_in_sequential": _HERE,
    "test_dispatch_multiprocessing": "its calls share a manager of multiprocessing, by a key"
    " that workers do not have",
    "test_nested_exception_dispatch": "joblib itself expects it to fail",
    "test_backend_context_manager": _NAMED,
    "test_nested_backend_context_manager": _NAMED,
    "test_backend_nesting_level": "its calls name our backend, which a worker does not import",
    "test_nested_parallel_warnings": _NAMED,
    "test_no_blas_crash_or_freeze_with_subprocesses": _NAMED,
    "test_parallel_with_interactively_defined_functions": _NAMED,
    "test_parallel_with_unpicklable_functions_in_args": _NAMED,
    "test_auto_memmap_on_arrays_from_generator": "memory is not shared with workers",
    "test_memmapping_leaks": "memory is not shared with workers",
    "test_nested_parallelism_limit": _NAMED,
    "test_thread_bomb_mitigation": _NAMED,
    "test_parallel_thread_limit": "the workers set their own limits of threads",
    "test_initializer_context": "an initializer is for processes of joblib's own",
    "test_initializer_parallel": "an initializer is for processes of joblib's own",
}


@pytest.fixture(scope="module", autouse=True)
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A master with a worker, which the backend finds as any program does."""
    started: list[Any] = []
    master = Master(tmp_path_factory.mktemp("service"), started)
    master.worker(WORKER_SLOTS="6")  # four of them are asleep at times
    with pytest.MonkeyPatch.context() as patch:
        for name, value in master.settings.items():
            patch.setenv(name, value)
        yield
    for process in reversed(started):
        process.end()


def _names(mark: Any) -> set[str]:
    """The parameters that a mark gives values to."""
    if mark.name != "parametrize":
        return set()
    names = mark.args[0]
    return set(names.replace(" ", "").split(",") if isinstance(names, str) else names)


def _of_a_backend() -> Iterator[str]:
    """joblib's tests that have backends as parameters."""
    for name, test in vars(theirs).items():
        marks = getattr(test, "pytestmark", []) if name.startswith("test_") else []
        if any(one.endswith("backend") for mark in marks for one in _names(mark)):
            yield name


def _ours(test: Any, values: dict[str, list[Any]]) -> Callable[..., None]:
    """The same test for our backend, with these values of its parameters."""
    made = types.FunctionType(
        test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__
    )
    if not any("backend" in names for names in values):
        values = {"backend": [NAME], **values}
    made.pytestmark = [  # type: ignore[attr-defined]
        *(mark for mark in test.pytestmark if not _names(mark)),
        *(pytest.mark.parametrize(names, given).mark for names, given in values.items()),
    ]
    return made


def test_each_test_of_a_backend_is_run_or_left_out_for_a_reason() -> None:
    assert set(_of_a_backend()) == RUN.keys() | LEFT_OUT.keys()
    assert not RUN.keys() & LEFT_OUT.keys()


for _name, _values in RUN.items():
    globals()[_name] = _ours(getattr(theirs, _name), _values)
