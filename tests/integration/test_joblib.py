"""joblib's calls on the workers, and scikit-learn's by them."""

from __future__ import annotations

import multiprocessing
import operator
import os
import time
from collections.abc import Iterator
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_config

import queue_manager.joblib  # noqa: F401 - registers the backend
from queue_manager import Client, connect
from queue_manager.errors import NotPlainDataError
from tests.integration.processes import KEY, Master, eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def master(shared_master: Master) -> Master:
    """It has a worker."""
    return shared_master


@pytest.fixture
def qm(master: Master) -> Iterator[Client]:
    """A client of a master that has a worker."""
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as client:
        yield client


def run_numbers(master: Master) -> list[int]:
    return [run.run for run in master.runs() if run.run]


def test_calls_of_parallel_run_on_the_workers(qm: Client, master: Master) -> None:
    with parallel_config("quartermaster", client=qm):
        assert joblib.effective_n_jobs(-1) == 2
        calls = (delayed(operator.mul)(n, n) for n in range(50))
        assert Parallel()(calls) == [n * n for n in range(50)]
        generated = Parallel(return_as="generator")(delayed(pow)(n, 2) for n in range(20))
        assert list(generated) == [n * n for n in range(20)]
        pids = Parallel()(delayed(lambda: os.getpid())() for _ in range(4))
    assert not set(pids) & {os.getpid()}
    eventually(lambda: not run_numbers(master), what="no run is left")


def test_an_exception_comes_out_of_parallel_and_ends_the_rest(qm: Client, master: Master) -> None:
    with parallel_config("quartermaster", client=qm):
        with pytest.raises(ZeroDivisionError):
            Parallel()(delayed(operator.truediv)(1, n) for n in range(3, -100, -1))
        with pytest.raises(NotPlainDataError):
            Parallel()(delayed(object)() for _ in range(2))
        with pytest.raises((TimeoutError, multiprocessing.TimeoutError)):
            Parallel(timeout=0.3)(delayed(time.sleep)(1) for _ in range(4))
        assert Parallel()(delayed(len)("abc") for _ in range(3)) == [3] * 3


def test_a_batch_that_joblib_makes_too_large_is_split_into_its_calls(qm: Client) -> None:
    with parallel_config("quartermaster", client=qm):
        made = Parallel(batch_size=4)(delayed(bytes)(300 << 10) for _ in range(8))
        assert [len(one) for one in made] == [300 << 10] * 8
        large = bytes(300 << 10)
        assert (
            Parallel(batch_size=4)(delayed(len)(large + b"%d" % n) for n in range(8))
            == [len(large) + 1] * 8
        )


def test_calls_within_calls_run_in_their_slot(qm: Client) -> None:
    def nested(n: int) -> Any:
        return Parallel(n_jobs=2)(delayed(operator.add)(n, m) for m in range(3))

    with parallel_config("quartermaster", client=qm):
        assert Parallel()(delayed(nested)(n) for n in range(4)) == [
            [n, n + 1, n + 2] for n in range(4)
        ]


def test_a_grid_search_of_scikit_learn_finds_what_it_finds_alone(qm: Client) -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    data, target = load_iris(return_X_y=True)
    grid = {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}
    alone = GridSearchCV(SVC(), grid, cv=3).fit(data, target)
    with parallel_config("quartermaster", client=qm):
        there = GridSearchCV(SVC(), grid, cv=3).fit(data, target)
    assert there.best_params_ == alone.best_params_
    assert list(there.cv_results_["mean_test_score"]) == list(alone.cv_results_["mean_test_score"])
