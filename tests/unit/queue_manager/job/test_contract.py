"""The contract that a job imports, and the errors."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

import queue_manager
from queue_manager import Limit, Options, Quota, Reject, Result, Retry, Task, errors
from queue_manager.job.run_options import run_options


def test_a_task_needs_only_its_payload() -> None:
    task = Task([1])
    assert (task.payload, task.key, task.group, task.priority, task.delay_s) == (
        [1], None, None, 0, 0.0,
    )  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.key = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"key": 5}, "key is a str or None, not 5"),
        ({"key": ""}, "key is a text"),
        ({"key": "\ud800"}, "UTF-8"),
        ({"group": b"x"}, "group is a str"),
        ({"priority": 1.5}, "priority is a whole number"),
        ({"priority": True}, "priority is a whole number"),
        ({"priority": 2**63}, "64 bits"),
        ({"delay_s": -1}, "delay_s is a number of seconds, 0 or more"),
        ({"delay_s": float("nan")}, "delay_s is"),
        ({"delay_s": "5"}, "delay_s is a number of seconds"),
        ({"delay_s": 1e300}, "at most 1,000,000,000, not 1e\\+300"),
        ({"delay_s": 10**400}, "at most 1,000,000,000, not a far larger number"),
        ({"quota": "pages"}, r"quota is a Quota\(...\) or None, not 'pages'"),
    ],
)
def test_a_wrong_field_of_a_task_is_one_clear_line(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says) as caught:
        Task(1, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "most", "says"),
    [
        (None, 5, "name is a str, not None"),
        ("", 5, "name is a text with at least one character$"),
        ("\ud800", 5, "UTF-8"),
        ("pages", 0, "most is 1 or more, not 0"),
        ("pages", 2.0, "most is a whole number"),
        ("pages", 2**31, "most is at most 2,147,483,647"),
    ],
)
def test_a_wrong_field_of_a_quota_is_one_clear_line(name: Any, most: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Quota(name, most)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"attempts": 0}, "attempts is 1 or more, not 0"),
        ({"losses": 1.5}, "losses is a whole number"),
        ({"concurrency": True}, "concurrency is a whole number"),
        ({"timeout_s": 0}, "timeout_s is a number of seconds, above 0"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"memory_bytes": -1}, "memory_bytes is 1 or more"),
        ({"memory_bytes": 2**70}, "memory_bytes is at most 9,223"),
        ({"attempts": 10**30}, "attempts is at most 2,147,483,647"),
        ({"timeout_s": 10**30}, "timeout_s is a number of seconds, above 0, and at most"),
        ({"needs": "gpu"}, "needs is a set of tags such as {'gpu'}, not 'gpu'"),
        ({"needs": b"gpu"}, "needs is a set of tags"),
        ({"needs": None}, "needs is a set of tags such as {'gpu'}, not None"),
        ({"needs": ["gpu", 5]}, "needs has tags, which are texts, not 5"),
        ({"needs": ["a b"]}, "needs has 'a b': a tag is made of A-Z, a-z, 0-9, -, _ and ."),
        ({"needs": [""]}, "needs has '': a tag"),
        ({"needs": ["gpu\n"]}, "a tag is made of"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Options(**arguments)


def test_options_have_the_promised_defaults() -> None:
    assert run_options(Options()).attempts == 3
    assert Options() == Options(
        attempts=None, losses=5, timeout_s=None, concurrency=1, memory_bytes=None, needs=frozenset()
    )


@pytest.mark.parametrize(
    "needs", [{"gpu", "a.b-c_1"}, ["a.b-c_1", "gpu"], iter(("gpu", "a.b-c_1"))]
)
def test_what_a_job_needs_is_kept_as_a_set(needs: Any) -> None:
    options = Options(needs=needs)
    assert options.needs == frozenset({"gpu", "a.b-c_1"})
    assert hash(options) == hash(Options(needs=options.needs))


def test_what_follows_a_result_becomes_tasks() -> None:
    result = Result(1, follow=["a", Task("b", key="k")])
    assert result.follow == (Task("a"), Task("b", key="k"))


@pytest.mark.parametrize("follow", ["abc", b"abc", {"a": 1}, Task(1)])
def test_one_thing_in_the_place_of_a_list_to_follow_is_refused(follow: Any) -> None:
    with pytest.raises(TypeError, match="list of tasks"):
        Result(1, follow=follow)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ([("a", Limit(1))], "limits is a dict such as"),
        ({5: Limit(1)}, "a group in limits is a str, not 5"),
        ({"": Limit(1)}, "a group in limits is a text"),
        ({"\ud800": Limit(1)}, "UTF-8"),
        ({"a": 1}, r"limits has 1 for 'a', which is no Limit\(...\)"),
    ],
)
def test_wrong_limits_of_a_result_are_one_clear_line(limits: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Result(1, limits=limits)


def test_limits_of_a_result_are_its_own() -> None:
    limits = {"a": Limit(1)}
    result = Result(1, limits=limits)
    limits.clear()
    assert result.limits == {"a": Limit(1)}
    assert hash(result) == hash(Result(1))


def test_a_whole_group_waits_for_a_time_that_is_said() -> None:
    assert Retry(5, whole_group=True).whole_group
    assert not Retry(5).whole_group
    with pytest.raises(ValueError, match="whole_group=True needs delay_s"):
        Retry(whole_group=True)


def test_retry_and_reject_carry_what_was_asked() -> None:
    assert Retry().delay_s is None
    assert Retry(5).delay_s == 5
    assert Reject("spam").reason == "spam"
    with pytest.raises(ValueError, match="delay_s"):
        Retry(-1)


def test_errors_are_one_tree_with_their_standard_parents() -> None:
    tree = [e for e in vars(errors).values() if isinstance(e, type)]
    assert all(issubclass(e, errors.QueueError) for e in tree)
    assert all(e.__name__ in (errors.__doc__ or "") for e in tree)
    assert issubclass(errors.ConnectionLostError, ConnectionError)
    assert issubclass(errors.SettingsError, ValueError)
    assert issubclass(errors.ArgumentError, (TypeError, errors.JobError))
    assert issubclass(errors.StoreBusyError, errors.StoreError)


def test_importing_the_contract_is_light() -> None:
    code = (
        "import sys, queue_manager; heavy = ('asyncio', 'msgspec', 'socket', 'multiprocessing');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        queue_manager.nothing  # noqa: B018
    assert queue_manager.__version__ == "0.1.0"


@pytest.mark.parametrize("key", ["k" * 1_025, "痛" * 342])
def test_a_key_and_a_name_have_their_limit_in_bytes(key: str) -> None:
    """The line says how many it takes, and how many it may."""
    for make in (
        lambda: Task(1, key=key),
        lambda: Task(1, group=key),
        lambda: Quota(key, 1),
        lambda: Result(1, limits={key: Limit()}),
    ):
        with pytest.raises(ValueError, match=r"takes 1,02\d bytes, and may take 1,024") as caught:
            make()
        assert len(str(caught.value)) < 300
    assert Task(1, key="k" * 1_024)
    assert Task(1, key="痛" * 341)
