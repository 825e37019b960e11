"""docker-compose.yml and deploy/stack.yml are each whole by themselves, and do not drift apart."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import document_commands

REPO = Path(__file__).resolve().parents[2]
SERVICES = ("master", "worker")
# What both files say of a service word for word; Swarm has another word for `tmpfs` and `restart`.
SHARED = ("image", "init", "read_only", "cap_drop", "stop_grace_period", "logging")
# Variables that compose alone passes, and why.
COMPOSE_ONLY = {
    "master": {
        "QUEUE_AUTHKEY": "the secret is a file",
        "QUEUE_PUBLISH": "no port is published",
        "HTTP_PUBLISH": "no port is published",
    },
    "worker": {"QUEUE_AUTHKEY": "the secret is a file"},
}
# Values that differ, and why.
PROFILE = ("PROMETHEUS_", "GRAFANA_")
DIFFERENT = {
    "QUEUE_PORT": "what compose publishes under may be chosen, nothing is published of a stack",
    "QUEUE_TLS": "compose's network is one host's, an overlay network crosses the wire in clear",
    "QUEUE_AUTHKEY_FILE": "a secret, where compose has a volume",
    "MASTER_HTTP_PORT": "nobody reaches the pages of a stack without a proxy or a certificate",
    "QUEUE_HOST": "the name of a service's tasks, whatever its endpoint_mode",
    "WORKER_NAME": "filled in by Swarm",
}


def _read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPO / path).read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return _read("docker-compose.yml")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return _read("deploy/stack.yml")


@pytest.mark.parametrize("service", SERVICES)
def test_both_files_say_the_same_of_a_service(
    compose: dict[str, Any], stack: dict[str, Any], service: str
) -> None:
    ours, theirs = compose["services"][service], stack["services"][service]
    for word in SHARED:
        assert ours[word] == theirs[word], word
    ours, theirs = ours["healthcheck"], theirs["healthcheck"]
    assert ours | {"interval": ""} == theirs | {"interval": ""}


@pytest.mark.parametrize("service", SERVICES)
def test_both_files_pass_the_same_settings(
    compose: dict[str, Any], stack: dict[str, Any], service: str
) -> None:
    ours = compose["services"][service]["environment"]
    theirs = stack["services"][service]["environment"]
    assert ours.keys() - theirs.keys() == COMPOSE_ONLY[service].keys()
    assert theirs.keys() <= ours.keys()
    assert {n for n in theirs if ours[n] != theirs[n]} == DIFFERENT.keys() & theirs.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_both_files_mount_the_same_but_for_key_and_jobs(
    compose: dict[str, Any], stack: dict[str, Any], service: str
) -> None:
    """The key is a secret, workers get jobs from the master, /tmp is memory in both."""
    ours, theirs = compose["services"][service], stack["services"][service]
    named = {mount for mount in ours["volumes"] if not re.match(r"key:|\./jobs:", mount)}
    stacked = [mount for mount in theirs["volumes"] if isinstance(mount, str)]
    assert named == {mount for mount in stacked if not mount.endswith(":/app/jobs:ro")}
    tmpfs = [mount["target"] for mount in theirs["volumes"] if not isinstance(mount, str)]
    assert ours["tmpfs"] == tmpfs == ["/tmp"]
    jobs = [mount for mount in stacked if mount.endswith(":/app/jobs:ro")]
    assert len(jobs) == (1 if service == "master" else 0)


def test_a_stack_is_encrypted_its_key_a_secret_and_nothing_published(stack: dict[str, Any]) -> None:
    for service in SERVICES:
        found = stack["services"][service]
        environment = found["environment"]
        assert environment["QUEUE_TLS"] == "${QUEUE_TLS:-required}"
        assert environment["QUEUE_AUTHKEY_FILE"] == "/run/secrets/authkey"
        assert found["secrets"] == ["authkey"]
        assert "ports" not in found
        assert found["deploy"]["endpoint_mode"] == "dnsrr"
        assert found["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert stack["secrets"]["authkey"]["external"] is True
    assert "encrypted" not in str(stack["networks"])


def test_both_files_bound_the_processes_of_a_container(
    compose: dict[str, Any], stack: dict[str, Any]
) -> None:
    for service in SERVICES:
        most = stack["services"][service]["deploy"]["resources"]["limits"]["pids"]
        assert compose["services"][service]["pids_limit"] == f"${{PIDS_LIMIT:-{most}}}"


def test_the_key_is_entered_by_a_container_that_can_do_nothing_else(
    compose: dict[str, Any],
) -> None:
    """`docker compose up` leaves it out, no environment has the key, and no network is there."""
    entry = compose["services"]["key"]
    assert entry["profiles"] == ["key"]
    assert entry["network_mode"] == "none"
    assert entry["read_only"] is True
    assert entry["cap_drop"] == ["ALL"]
    assert entry["volumes"] == ["key:/key"]
    worker = compose["services"]["worker"]
    assert entry["image"] == worker["image"]
    kept = entry["environment"]
    assert kept == {"QUEUE_AUTHKEY_FILE": worker["environment"]["QUEUE_AUTHKEY_FILE"]}


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "jobs/images.lock",
        "jobs/logs.lock",
        "requirements-dev.lock",
        "bench/crawling/requirements.txt",
        *(str(path.relative_to(REPO)) for path in REPO.glob("bench/peers/locks/*.txt")),
    ],
)
def test_a_lock_has_the_hashes_of_each_package(lock: str) -> None:
    text = (REPO / lock).read_text("utf-8").replace("\\\n", "")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for package in packages:
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", package), package


def test_pips_settings_of_a_machine_are_in_no_layer_of_an_image() -> None:
    """They may have a password in them: each build sees them as a secret."""
    dockerfile = (REPO / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    installs = [line for line in dockerfile.splitlines() if "pip install" in line]
    assert len(installs) >= 3
    for line in installs:
        assert line.startswith("RUN --mount=type=secret,id=pip,target=/etc/pip.conf "), line
    script = (REPO / "scripts/engine.sh").read_text("utf-8")
    assert "$dir/etc/pip.conf" not in script


def test_a_stack_has_no_words_that_swarm_ignores(stack: dict[str, Any]) -> None:
    """`docker stack deploy` drops these, some without a word."""
    ignored = {"build", "depends_on", "restart", "security_opt", "tmpfs", "container_name"}
    for service in SERVICES:
        assert not stack["services"][service].keys() & ignored


def test_one_master_and_workers_that_are_replaced_one_before_the_other(
    stack: dict[str, Any],
) -> None:
    master, worker = (stack["services"][service]["deploy"] for service in SERVICES)
    assert master["replicas"] == 1
    assert master["placement"]["constraints"] == ["node.labels.quartermaster == master"]
    assert master["update_config"]["order"] == "stop-first"
    assert worker["update_config"]["order"] == "start-first"
    assert "mode" not in worker


def test_the_documented_change_makes_workers_global() -> None:
    """The `sed` of the document hits the workers' replicas alone."""
    text = (REPO / "deploy/stack.yml").read_text("utf-8")
    changed, count = re.subn("replicas: .*WORKERS.*", "mode: global", text)
    assert count == 1
    services = yaml.safe_load(changed)["services"]
    assert services["worker"]["deploy"]["mode"] == "global"
    assert "replicas" not in services["worker"]["deploy"]
    assert services["master"]["deploy"]["replicas"] == 1


def test_the_demo_publishes_nothing_and_runs_no_job_of_the_users(compose: dict[str, Any]) -> None:
    demo = _read("compose.demo.yml")["services"]
    assert demo["master"]["environment"] == {"JOB": "", "JOB_ARGS": ""}
    assert set(demo) == {"web", "master"}
    assert "ports" not in demo["web"]
    assert demo["web"]["networks"] == compose["services"]["master"]["networks"]
    base = compose["services"]["master"]["build"]["args"]["BASE"]
    assert demo["web"]["build"]["args"]["BASE"] == base


def test_the_demo_of_mail_publishes_nothing_and_runs_no_job_of_the_users() -> None:
    demo = _read("compose.demo-mail.yml")["services"]
    assert demo["master"]["environment"] == {"JOB": "", "JOB_ARGS": ""}
    assert set(demo) == {"relay", "master", "worker"}
    assert [name for name, service in demo.items() if "ports" in service] == []


def test_the_demo_takes_no_setting_of_a_queue_of_the_users(compose: dict[str, Any]) -> None:
    """All that docker-compose.yml lets a shell or `.env` say, but for the images and their base.

    The demo starts nothing of the profile `metrics`.
    """
    text = (REPO / "docker-compose.yml").read_text("utf-8")
    images = {"IMAGES", "IMAGES_TAG", "BASE", "PIP_CONFIG_FILE"}
    images |= {name for name in re.findall(r"\$\{(\w+)", text) if name.startswith(PROFILE)}
    settings = set(re.findall(r"\$\{(\w+)", text)) - images
    script = (REPO / "scripts/demo.sh").read_text("utf-8")
    given = set(re.findall(r"\b([A-Z_]+)=", script))
    assert settings - given == {"JOB", "JOB_ARGS"}  # by compose.demo.yml


def _texts(path: str) -> set[str]:
    """The texts of a module, each with its parts put together."""
    tree = ast.parse((REPO / path).read_text("utf-8"))
    found = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return {text for text in found if isinstance(text, str)}


def test_every_command_for_compose_is_run_by_a_test() -> None:
    """`docker compose build` by the fixture that makes the images."""
    document = REPO / "docs/deployment.md"
    others = ("Docker Swarm", "PostgreSQL and two masters")  # with tests of their own
    theirs = {command for name in others for _, command in document_commands(document, name)}
    commands = {command for _, command in document_commands(document)} - theirs
    assert len(commands) > 12
    tests = [f"tests/hosts/{name}.py" for name in ("site", "test_compose", "test_laptop")]
    assert commands - set().union(*map(_texts, tests)) == set()


def test_every_command_for_swarm_is_run_by_a_test() -> None:
    """Its tests refuse to run what is not there; here, that they leave nothing out."""
    commands = document_commands(REPO / "docs/deployment.md", "Docker Swarm")
    parts = ("swarm.py", "test_swarm.py")
    source = "".join((REPO / "tests/hosts" / part).read_text("utf-8") for part in parts)
    constants = dict(re.findall(r'^(DEPLOY|QM) = "(.*)"$', source, re.MULTILINE))
    assert len(commands) > 15
    for _, command in commands:
        written = command.replace("global.yml quartermaster", "stack.yml quartermaster")
        if written == constants["DEPLOY"]:
            continue
        written = written.removeprefix(constants["QM"])
        assert re.search(rf"""["']{re.escape(written)}["']""", source), command


def test_the_service_that_follows_has_no_network_and_the_settings_of_the_master() -> None:
    follower = _read("deploy/backup.yml")["services"]["backup"]
    master = _read("docker-compose.yml")["services"]["master"]
    assert follower["network_mode"] == "none"
    for setting in ("image", "read_only", "cap_drop", "security_opt", "init", "restart"):
        assert follower[setting] == master[setting], setting
    assert "data:/data" in master["volumes"]
    assert follower["volumes"] == ["data:/data", "${BACKUP_FOLDER:-backup}:/backup"]
