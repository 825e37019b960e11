"""deploy/postgres.yml and deploy/stack.postgres.yml: the files of a database and two masters."""

from __future__ import annotations

import ast
import re
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import document_commands

REPO = Path(__file__).resolve().parents[2]
PREPARE = REPO / "deploy/postgres/prepare.sh"
MASTERS = ("master", "master2")
# What both files say of the database word for word.
SHARED = ("image", "command", "environment", "user", "init", "read_only", "cap_drop", "logging")
# What two masters of a stack have besides those of a single one.
OF_TWO = {"MASTER_STORE_FILE", "MASTER_NAME", "QUEUE_HOST"}


class _Loader(yaml.SafeLoader):
    """Reads compose's own words `!reset` and `!override`, too: the value counts."""


def _value(loader: _Loader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return None


_Loader.add_multi_constructor("!", _value)


def _read(path: str) -> dict[str, Any]:
    with (REPO / path).open(encoding="utf-8") as file:
        found: dict[str, Any] = yaml.load(file, _Loader)
    return found


@pytest.fixture(scope="module")
def extra() -> dict[str, Any]:
    return _read("deploy/postgres.yml")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return _read("deploy/stack.postgres.yml")


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    return _read("deploy/stack.yml")


def _options(database: dict[str, Any]) -> dict[str, str]:
    """The options of the server, from `-c NAME=VALUE`."""
    program, *words = database["command"]
    assert program == "postgres"
    assert set(words[::2]) == {"-c"}
    return dict(word.split("=", 1) for word in words[1::2])


def test_the_database_is_reached_by_nobody_but_its_network_and_can_do_little(
    extra: dict[str, Any], stack: dict[str, Any]
) -> None:
    for file in (extra, stack):
        database = file["services"]["database"]
        assert "ports" not in database
        assert database["networks"] == ["queue"]
        assert database["read_only"] is True
        assert database["cap_drop"] == ["ALL"]
        assert database["user"] == "999:999"
        assert database["healthcheck"]["test"][1] == "pg_isready"
    assert extra["services"]["database"]["security_opt"] == ["no-new-privileges:true"]


def test_compose_and_swarm_start_the_same_server(
    extra: dict[str, Any], stack: dict[str, Any]
) -> None:
    ours, theirs = (file["services"]["database"] for file in (extra, stack))
    for word in (*SHARED, "healthcheck", "stop_grace_period"):
        assert ours[word] == theirs[word], word


def test_the_database_takes_only_encrypted_sessions_with_the_password(
    extra: dict[str, Any],
) -> None:
    options = _options(extra["services"]["database"])
    assert options["ssl"] == "on"
    assert options["ssl_min_protocol_version"] == "TLSv1.3"
    assert options["hba_file"] == "/database/pg_hba.conf"
    # Nothing that would take the promise of a commit back.
    assert not options.keys() & {"fsync", "synchronous_commit", "full_page_writes"}
    lines = (REPO / "deploy/postgres/pg_hba.conf").read_text("utf-8").splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert rules == [
        ["local", "all", "all", "trust"],
        ["hostssl", "all", "all", "all", "scram-sha-256"],
    ]


def test_passwords_are_files_and_in_no_environment(
    extra: dict[str, Any], stack: dict[str, Any]
) -> None:
    for file in (extra, stack):
        for service in file["services"].values():
            named = service.get("environment", {})
            assert not [name for name in named if re.search(r"PASSWORD$|PGPASS", name)]
        masters = [file["services"][name] for name in MASTERS if name in file["services"]]
        assert {one["environment"]["MASTER_STORE_FILE"] for one in masters} == {"/database/url"}
    for secret in ("database_url", "database_key", "database_password"):
        assert stack["secrets"][secret]["external"] is True


def test_the_second_master_is_the_first_one_with_its_own_name_folder_and_ports(
    extra: dict[str, Any],
) -> None:
    """`extends` brings the rest, so the two do not drift apart."""
    one, two = (extra["services"][name] for name in MASTERS)
    assert two["extends"] == {"file": "docker-compose.yml", "service": "master"}
    assert one["depends_on"] == two["depends_on"]
    assert one["environment"]["QUEUE_HOST"] == two["environment"]["QUEUE_HOST"]
    assert [mount for mount in two["volumes"] if mount not in one["volumes"]] == ["data2:/data"]
    for part, port in (("QUEUE", "${QUEUE_PORT:-5000}"), ("HTTP", "8080")):
        published = f"${{{part}2_PUBLISH:-127.0.0.1:}}"
        assert two["environment"][f"{part}_PUBLISH"] == published
        assert f"{published}:{port}" in two["ports"]
    assert len(two["ports"]) == 2


def test_everybody_is_told_of_both_masters(extra: dict[str, Any], stack: dict[str, Any]) -> None:
    assert extra["services"]["master"]["environment"]["QUEUE_HOST"] == ",".join(MASTERS)
    hosts = extra["services"]["worker"]["environment"]["QUEUE_HOST"]
    assert hosts == f"${{QUEUE_HOST:-{','.join(MASTERS)}}}"
    for service in ("master", "worker"):
        assert stack["services"][service]["environment"]["QUEUE_HOST"] == "tasks.master"


def test_a_master_starts_after_the_database_and_the_database_after_its_keys(
    extra: dict[str, Any],
) -> None:
    services = extra["services"]
    for name in MASTERS:
        assert services[name]["depends_on"] == {"database": {"condition": "service_healthy"}}
    keys = {"database-keys": {"condition": "service_completed_successfully"}}
    assert services["database"]["depends_on"] == keys
    assert services["worker"]["depends_on"] == list(MASTERS)
    assert services["database-keys"]["cap_drop"] == ["ALL"]
    assert services["database-keys"]["network_mode"] == "none"


def test_a_stack_of_two_masters_is_that_of_one_but_for_what_two_need(
    stack: dict[str, Any], single: dict[str, Any]
) -> None:
    assert stack["x-settings"] == single["x-settings"]
    assert stack["x-service"] == single["x-service"]
    assert stack["services"]["worker"] == single["services"]["worker"]
    assert stack["networks"] == single["networks"]
    assert stack["secrets"]["authkey"] == single["secrets"]["authkey"]
    ours, theirs = (dict(file["services"]["master"]) for file in (stack, single))
    environment = {n: v for n, v in ours["environment"].items() if n not in OF_TWO}
    assert environment == theirs["environment"]
    assert ours["environment"].keys() > OF_TWO
    assert ours.pop("secrets")[0] == theirs.pop("secrets")[0] == "authkey"
    for word in ours.keys() - {"environment", "deploy"}:
        assert ours[word] == theirs[word], word
    assert ours["deploy"]["resources"] == theirs["deploy"]["resources"]
    assert (
        ours["deploy"]["placement"]["constraints"] == theirs["deploy"]["placement"]["constraints"]
    )


def test_masters_are_on_different_nodes_and_updated_one_by_one(stack: dict[str, Any]) -> None:
    deploy = stack["services"]["master"]["deploy"]
    assert deploy["replicas"] == 2
    assert deploy["placement"]["max_replicas_per_node"] == 1
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["order"] == "stop-first"
    assert deploy["endpoint_mode"] == "dnsrr"


def test_a_stack_has_no_words_that_swarm_ignores(stack: dict[str, Any]) -> None:
    ignored = {"build", "depends_on", "restart", "security_opt", "tmpfs", "container_name"}
    ignored |= {"shm_size", "mem_limit", "pids_limit", "extends"}
    for service in stack["services"].values():
        assert not service.keys() & ignored


def test_only_the_user_of_an_image_reads_its_secrets(stack: dict[str, Any]) -> None:
    """libpq and the server refuse a key that others may read."""
    open_to_all = {"database_ca", "database_certificate"}
    for service, user in (("master", "1000"), ("database", "999")):
        for secret in stack["services"][service]["secrets"]:
            if isinstance(secret, dict) and secret["source"] not in open_to_all:
                assert (secret["uid"], secret["gid"], secret["mode"]) == (user, user, 0o400)


def test_every_command_of_the_document_is_run_by_a_test() -> None:
    """Those for Swarm by tests/hosts/test_swarm_postgres.py, which takes them all."""
    document = REPO / "docs/deployment.md"
    headings = ("Compose with PostgreSQL", "A database elsewhere")
    commands = {text for name in headings for _, text in document_commands(document, name)}
    tree = ast.parse((REPO / "tests/docker/test_postgres.py").read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert len(commands) > 6
    assert commands - texts == set()


# ---- the script that makes password and certificate


def _prepare(server: Path, client: Path) -> None:
    subprocess.run([PREPARE, server, client], check=True, capture_output=True, timeout=60)


def test_the_made_certificate_is_of_the_made_ca_and_has_the_names_of_the_service(
    tmp_path: Path,
) -> None:
    server, client = tmp_path / "server", tmp_path / "client"
    _prepare(server, client)
    assert {path.name for path in client.iterdir()} == {"ca.crt", "url"}
    wanted = {"server.crt", "server.key", "password", "pg_hba.conf"}
    assert {path.name for path in server.iterdir()} == wanted
    for path in (*server.iterdir(), *client.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
    context = ssl.create_default_context(cafile=client / "ca.crt")
    assert context.verify_mode == ssl.CERT_REQUIRED
    for name in ("database", "tasks.database"):
        words = ["openssl", "verify", "-x509_strict", "-verify_hostname", name]
        words += ["-CAfile", client / "ca.crt", server / "server.crt"]
        subprocess.run(words, check=True, capture_output=True)
    password = (server / "password").read_text().strip()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert (client / "url").read_text() == (
        f"postgresql://quartermaster:{password}@database:5432/quartermaster"
        "?sslmode=verify-full&sslrootcert=/database/ca.crt\n"
    )


def test_a_restart_changes_no_password_and_a_torn_set_is_made_anew(tmp_path: Path) -> None:
    server, client = tmp_path / "server", tmp_path / "client"
    _prepare(server, client)
    before = (client / "url").read_bytes(), (server / "server.key").read_bytes()
    _prepare(server, client)
    assert before == ((client / "url").read_bytes(), (server / "server.key").read_bytes())
    (client / "url").unlink()
    _prepare(server, client)
    password = (server / "password").read_text().strip()
    assert password in (client / "url").read_text()
    assert before[0] != (client / "url").read_bytes()


def test_all_secrets_of_a_stack_can_be_made_into_one_folder(
    tmp_path: Path, stack: dict[str, Any]
) -> None:
    """The loop in the head of the file names them."""
    _prepare(tmp_path / "secrets", tmp_path / "secrets")
    head = (REPO / "deploy/stack.postgres.yml").read_text("utf-8").partition("version:")[0]
    found = re.search(r"for name in (.*); do", head)
    assert found
    for name in found[1].split():
        assert (tmp_path / "secrets" / name).exists()
    made = {f"quartermaster_database_{name}" for name in found[1].split()}
    secrets = stack["secrets"].items()
    assert made == {one["name"] for key, one in secrets if key != "authkey"}


def test_the_stand_in_is_as_the_official_image_where_the_files_need_it() -> None:
    text = (REPO / "deploy/postgres/Dockerfile").read_text("utf-8")
    assert "--uid 999" in text
    assert "PGDATA=/var/lib/postgresql/data" in text
    assert "STOPSIGNAL SIGINT" in text
    assert "postgresql-17" in text
