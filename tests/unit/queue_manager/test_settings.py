"""The environment: defaults, empty values, and errors that name the variable."""

import os
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest

from queue_manager.errors import SettingsError
from queue_manager.settings import (
    is_loopback,
    load_settings,
    pages_reached_by,
    publish_host,
    usable_cpus,
)


def test_an_empty_environment_gives_the_promised_defaults() -> None:
    settings = load_settings({})
    given = msgspec.structs.asdict(settings)
    assert given.pop("worker_slots") >= 1
    assert given.pop("health_file").is_absolute()
    assert given.pop("queue_environments").parts[-2:] == ("quartermaster", "environments")
    assert given == {
        "queue_host": "127.0.0.1", "queue_bind": "127.0.0.1", "queue_port": 5000,
        "queue_host_set": False, "queue_port_set": False,
        "queue_publish": None, "queue_publish_known": False,
        "queue_authkey": None, "queue_authkey_file": None, "queue_allow_weak_authkey": False,
        "queue_tls": "auto", "queue_tls_set": False, "queue_max_bytes": 1_048_576,
        "queue_names": {}, "queue_stock_ack": "put", "queue_uploads": "auto", "queue_log": "text",
        "job": None, "job_args": "", "jobs_folder": Path("jobs"), "master_data": Path("data"),
        "master_store": None, "master_store_file": None, "master_name": socket.gethostname(),
        "master_address": "",
        "worker_jobs": "master", "worker_name": "", "worker_drain_s": 8.0,
        "worker_tags": frozenset(), "queue_keep_days": 30.0,
        "master_http_port": 8080, "master_http_port_set": False, "http_bind": "127.0.0.1",
        "http_publish": None, "http_publish_known": False, "http_plain": False,
        "http_tls_cert": None, "http_tls_key": None, "http_hosts": frozenset(),
        "http_files": Path("/shared"),
    }  # fmt: skip


def test_empty_means_unset_everywhere() -> None:
    names = [name.upper() for name in load_settings({}).__struct_fields__]
    empty = load_settings(dict.fromkeys(names, ""))
    assert empty.queue_publish_known
    known = {"queue_publish_known": False, "http_publish_known": False}
    assert msgspec.structs.replace(empty, **known) == load_settings({})


def test_a_full_disk_keeps_nobody_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has no health file. `tempfile` writes to a folder before it names it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", None)
    before = load_settings({}).health_file
    monkeypatch.setattr("os.write", full)
    monkeypatch.setattr("builtins.open", full)
    monkeypatch.setattr("io.open", full)
    assert load_settings({}).health_file == before


@pytest.mark.parametrize("named", ["", "relative", "/nowhere"])
def test_the_health_file_is_where_something_may_be_written(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"quartermaster-health-{os.getuid()}"
    monkeypatch.setenv("TMPDIR", named)
    monkeypatch.setenv("TEMP", str(tmp_path))
    assert load_settings({}).health_file == tmp_path / name
    monkeypatch.setattr("os.access", lambda *_: False)  # a read-only root, and nothing at /tmp
    assert load_settings({}).health_file == Path("/tmp", name)
    assert load_settings({"HEALTH_FILE": "/here"}).health_file == Path("/here")


def test_values_are_converted() -> None:
    settings = load_settings({
        "QUEUE_PORT": "5001", "WORKER_SLOTS": "3", "WORKER_DRAIN_S": "0.5", "JOB": "null",
        "QUEUE_KEEP_DAYS": "7", "QUEUE_ALLOW_WEAK_AUTHKEY": "1", "QUEUE_TLS": "off",
        "QUEUE_AUTHKEY_FILE": "/run/secrets/key", "QUEUE_AUTHKEY": "痛点就是起点",
    })  # fmt: skip
    assert (settings.queue_port, settings.queue_port_set) == (5001, True)
    assert (settings.worker_slots, settings.worker_drain_s, settings.queue_keep_days) == (3, 0.5, 7)
    assert settings.queue_allow_weak_authkey
    assert (settings.queue_tls, settings.queue_tls_set) == ("off", True)
    assert settings.queue_authkey_file == Path("/run/secrets/key")
    assert (settings.queue_authkey, settings.job) == ("痛点就是起点", "null")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("QUEUE_PORT", "fifty", "a port, 0 to 65535"),
        ("QUEUE_PORT", "65536", "a port, 0 to 65535"),
        ("QUEUE_TLS", "maybe", "auto, required or off"),
        ("QUEUE_MAX_BYTES", "0", "a number of bytes"),
        ("QUEUE_MAX_BYTES", "9000000", "a number of bytes"),
        ("WORKER_SLOTS", "0", "a whole number, 1 to 4096"),
        ("WORKER_SLOTS", "1.5", "a whole number"),
        ("WORKER_JOBS", "mine", "master or local"),
        ("WORKER_DRAIN_S", "-1", "a number of seconds"),
        ("WORKER_DRAIN_S", "inf", "a number of seconds"),
        ("WORKER_DRAIN_S", "nan", "a number of seconds"),
        ("WORKER_TAGS", "gpu,big mem", "tags with commas between them, each of A-Z, a-z"),
        ("WORKER_TAGS", "gpu;bigmem", "tags with commas"),
        ("QUEUE_NAMES", "get_x", "task:NAME or result:NAME, with commas between them"),
        ("QUEUE_NAMES", "tasks:get_x", "task:NAME or result:NAME"),
        ("QUEUE_NAMES", "task:get x", "task:NAME or result:NAME"),
        ("QUEUE_NAMES", "task:get_x,result:get_x", "task:NAME or result:NAME"),
        ("QUEUE_NAMES", "result:get_task_queue", "task:NAME or result:NAME"),
        ("QUEUE_NAMES", "task:get_exchange", "task:NAME or result:NAME"),
        ("QUEUE_NAMES", "task:" + "x" * 257, "task:NAME or result:NAME"),
        ("QUEUE_STOCK_ACK", "get", "put or next"),
        ("QUEUE_UPLOADS", "yes", "auto, 1 or 0"),
        ("QUEUE_KEEP_DAYS", "long", "a number of days"),
        ("QUEUE_LOG", "xml", "text or json"),
        ("QUEUE_ALLOW_WEAK_AUTHKEY", "perhaps", "1 or 0"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert str(caught.value).startswith(f"{name}='{value}': expected {expected}")
    assert "\n" not in str(caught.value)


def test_names_of_the_queues_stand_between_commas() -> None:
    settings = load_settings({"QUEUE_NAMES": " task:get_x , result:get_y,task:get_job_q"})
    assert settings.queue_names == {"get_x": "task", "get_y": "result", "get_job_q": "task"}


@pytest.mark.parametrize(
    ("value", "tags"),
    [("gpu", {"gpu"}), (" gpu , bigmem,gpu,", {"gpu", "bigmem"}), (" , ", set()), ("", set()),
     ("null", {"null"}), ("CUDA-12.4_x", {"CUDA-12.4_x"})],
)  # fmt: skip
def test_tags_stand_between_commas(value: str, tags: set[str]) -> None:
    assert load_settings({"WORKER_TAGS": value}).worker_tags == tags


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
     ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
     ("", False), ("host.invalid", False), ("::ffff:127.0.0.1", True), ("::1%lo", True),
     ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_network(host: str, near: bool) -> None:
    assert is_loopback(host) is near


def test_a_name_is_local_by_its_addresses_not_by_what_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    found = {"localhost": ["10.0.0.7"], "mine": ["127.0.0.1"], "both": ["127.0.0.1", "10.0.0.7"]}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, _: [(*entry, (a, 0)) for a in found[host]]
    )
    assert [is_loopback(name) for name in found] == [False, True, False]


@pytest.mark.parametrize(
    ("publish", "host"),
    [("", None), ("127.0.0.1:", "127.0.0.1"), ("127.0.0.1:5000", "127.0.0.1"),
     ("[::1]:5000", "[::1]"), ("0.0.0.0:5000", "0.0.0.0"), ("5000", "0.0.0.0"),
     (":5000", "0.0.0.0")],
)  # fmt: skip
def test_the_published_address_is_read_as_docker_does(publish: str, host: str | None) -> None:
    assert publish_host(load_settings({"QUEUE_PUBLISH": publish})) == host


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/cpu.max": "50000 100000\n"},
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n",
         "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"},
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        {"proc/self/cgroup": "4:cpu,cpuacct:/x\n",
         "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "90000\n",
         "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
    ],
)  # fmt: skip
def test_a_quota_of_the_control_group_limits_the_slots(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert usable_cpus(tmp_path) == 16
    assert usable_cpus(put(tmp_path, files)) == 1


def test_no_quota_leaves_the_cpus_of_the_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    files = {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}
    assert usable_cpus(put(tmp_path, files)) == 16
    assert usable_cpus(put(tmp_path, {"sys/fs/cgroup/cpu.max": "250000 100000\n"})) == 3


@pytest.mark.parametrize("name", ["JOB", "JOB_ARGS", "QUEUE_HOST", "WORKER_NAME"])
def test_what_is_no_utf8_is_one_line_that_names_the_variable(name: str) -> None:
    """The system hands other bytes on as halves of characters, which can't travel or be kept."""
    with pytest.raises(SettingsError) as caught:
        load_settings({name: "s=\udcff"})
    assert str(caught.value) == f"{name}='s=\\udcff': expected a text in UTF-8"
    assert load_settings({"JOBS_FOLDER": "/\udcff"})  # a path may be any bytes


def test_environments_lie_where_they_are_told_to_or_nowhere() -> None:
    assert load_settings({"QUEUE_ENVIRONMENTS": "/srv/e"}).queue_environments == Path("/srv/e")
    assert load_settings({"QUEUE_ENVIRONMENTS": "off"}).queue_environments is None


@pytest.mark.parametrize("text", ["off", " off "])
def test_the_pages_may_be_off(text: str) -> None:
    assert load_settings({"MASTER_HTTP_PORT": text}).master_http_port is None
    assert load_settings({"MASTER_HTTP_PORT": "0"}).master_http_port == 0


def test_names_of_hosts_are_as_a_browser_sends_them() -> None:
    names = load_settings({"HTTP_HOSTS": "Queue.Example.org., jobs"}).http_hosts
    assert names == {"queue.example.org", "jobs"}
    for wrong in ("a b", "http://queue", "a,,b", "queue:80"):
        with pytest.raises(SettingsError, match=r"HTTP_HOSTS=.*names of hosts"):
            load_settings({"HTTP_HOSTS": wrong})


@pytest.mark.parametrize(
    ("environment", "reached"),
    [
        ({}, ""),
        ({"HTTP_BIND": "192.0.2.1"}, "HTTP_BIND=192.0.2.1"),
        ({"HTTP_BIND": "0.0.0.0"}, "HTTP_BIND=0.0.0.0"),
        ({"HTTP_BIND": "0.0.0.0", "HTTP_PUBLISH": "127.0.0.1:"}, ""),
        ({"HTTP_BIND": "0.0.0.0", "HTTP_PUBLISH": ""}, ""),
        ({"HTTP_BIND": "0.0.0.0", "HTTP_PUBLISH": "[::1]:8080"}, ""),
        ({"HTTP_BIND": "0.0.0.0", "HTTP_PUBLISH": "8080"}, "HTTP_PUBLISH=8080"),
        ({"HTTP_PUBLISH": "192.0.2.1:8080"}, "HTTP_PUBLISH=192.0.2.1:8080"),
    ],
)
def test_who_reaches_the_pages(environment: dict[str, str], reached: str) -> None:
    assert pages_reached_by(load_settings(environment)) == reached
