"""deploy/kubernetes, built by kustomize and held to the schemas of the API. No cluster runs it."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from queue_manager.settings import VARIABLES

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "deploy/kubernetes"
OVERLAYS = ("sqlite", "postgres")
VERSIONS = ("1.29", kubernetes_validate.latest_version())
# The schemas of these are not those of the API: docs/deployment.md says what they were held to.
FOREIGN = {"ScaledObject", "PodMonitor"}
# What is no setting of ours in the environment of a container.
OTHERS = {"POD_IP", "POD_NAMESPACE"}
OURS = {"app.kubernetes.io/name": "quartermaster"}

Objects = list[dict[str, Any]]


def _build(folder: Path) -> Objects:
    if shutil.which("kubectl") is None and os.environ.get("CI") != "true":
        pytest.skip("kubectl is missing, which builds kustomizations")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def plain(request: pytest.FixtureRequest) -> Objects:
    """A set-up as it is in the folder."""
    return _build(FOLDER / request.param)


@pytest.fixture(scope="module", params=OVERLAYS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """A set-up with both components, by a kustomization as a user writes it."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(FOLDER, folder / "kubernetes")
    mine = folder / "kubernetes" / "mine"
    mine.mkdir()
    text = {"resources": [f"../{request.param}"], "components": ["../keda", "../monitor"]}
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return _build(mine)


def _kind(objects: Objects, *kinds: str) -> Objects:
    return [one for one in objects if one["kind"] in kinds]


def _named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in _kind(objects, kind) if one["metadata"]["name"] == name)
    return found


def _pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """The templates of pods, by their component."""
    kept = _kind(objects, "Deployment", "StatefulSet")
    templates = [one["spec"]["template"] for one in kept]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def _containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def _environment(template: dict[str, Any], container: str) -> dict[str, Any]:
    (found,) = (one for one in template["spec"]["containers"] if one["name"] == container)
    names = [one["name"] for one in found["env"]]
    assert len(names) == len(set(names)), "a name twice"
    return {one["name"]: one.get("value", "") for one in found["env"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_one_of_the_api(whole: Objects, version: str) -> None:
    """Strictly: an unknown field is a mistake, too."""
    checked = [one for one in whole if one["kind"] not in FOREIGN]
    assert len(checked) >= 12
    for one in checked:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_mistake_is_found(plain: Objects) -> None:
    """The check above can fail."""
    template = json.loads(json.dumps(_named(plain, "Deployment", "quartermaster-worker")))
    template["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(template, VERSIONS[-1], strict=True)


def test_the_example_has_each_secret_that_is_asked_for(whole: Objects) -> None:
    text = (FOLDER / "secrets.example.yaml").read_text("utf-8")
    examples = list(yaml.safe_load_all(text))
    for one in examples:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    there = {one["metadata"]["name"]: set(one["stringData"]) for one in examples}
    volumes = [v for pod in _pods(whole).values() for v in pod["spec"]["volumes"]]
    asked = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert asked <= there.keys()
    assert _kind(whole, "Secret") == []
    (monitor,) = _kind(whole, "PodMonitor")
    read = monitor["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]
    assert read["key"] in there[read["name"]]


def test_pods_hold_to_the_restricted_standard(whole: Objects) -> None:
    (namespace,) = _kind(whole, "Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for template in _pods(whole).values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        # Variables such as QUEUE_PORT=tcp://... would be taken for settings.
        assert spec["enableServiceLinks"] is False
        for container in _containers(template):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_what_is_mounted_is_there_and_what_is_written_to_is_mounted(whole: Objects) -> None:
    for component, template in _pods(whole).items():
        volumes = {volume["name"] for volume in template["spec"]["volumes"]} | {"data"}
        for container in _containers(template):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        main = next(c for c in _containers(template) if c["name"] == component)
        writable = {m["mountPath"] for m in main["volumeMounts"] if not m.get("readOnly")}
        wanted = {"/tmp", "/shared", "/environments"} | (
            {"/data"} if component == "master" else set()
        )
        assert writable == wanted


def test_selectors_meet_the_pods_that_they_mean(whole: Objects) -> None:
    pods = [template["metadata"]["labels"] for template in _pods(whole).values()]

    def met(labels: dict[str, str]) -> int:
        return sum(labels.items() <= pod.items() for pod in pods)

    for one in _kind(whole, "Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
        labels = one["spec"]["selector"]["matchLabels"]
        assert met(labels) == 1, one["metadata"]["name"]
        assert labels.items() >= OURS.items()
    for one in _kind(whole, "Service"):
        assert met(one["spec"].get("selector", {"none": ""})) == ("selector" in one["spec"])
    for one in _kind(whole, "NetworkPolicy"):
        labels = one["spec"]["podSelector"].get("matchLabels", {})
        assert met(labels) == (1 if labels else 2)
    for template in _pods(whole).values():
        for spread in template["spec"].get("topologySpreadConstraints", []):
            labels = spread["labelSelector"]["matchLabels"]
            assert labels.items() <= template["metadata"]["labels"].items()


def test_variables_are_settings_and_the_images_are_ours(whole: Objects) -> None:
    (config,) = (o for o in _kind(whole, "ConfigMap") if "QUEUE_TLS" in o["data"])
    assert config["data"].keys() <= VARIABLES
    assert config["data"]["QUEUE_TLS"] == "required"
    for component, template in _pods(whole).items():
        assert _environment(template, component).keys() <= VARIABLES | OTHERS
        images = {container["image"] for container in _containers(template)}
        assert images == {f"quartermaster-{component}"}


def test_a_worker_has_the_time_to_drain_before_it_is_killed(plain: Objects) -> None:
    worker = _pods(plain)["worker"]["spec"]
    drain_s = float(_environment(_pods(plain)["worker"], "worker")["WORKER_DRAIN_S"])
    assert drain_s + 5 <= worker["terminationGracePeriodSeconds"]
    for container in worker["containers"]:
        assert "preStop" not in container.get("lifecycle", {})


def test_each_is_looked_at_as_in_a_container_of_docker(plain: Objects) -> None:
    compose = yaml.safe_load((REPO / "docker-compose.yml").read_text("utf-8"))
    check = compose["services"]["worker"]["healthcheck"]["test"]
    for component, template in _pods(plain).items():
        main = next(c for c in _containers(template) if c["name"] == component)
        for probe in ("startupProbe", "livenessProbe"):
            command = main[probe]["exec"]["command"]
            assert command == check[-3:] == ["python", "-IS", "/app/queue_manager/health.py"]


def test_workers_reach_masters_alone_and_nobody_reaches_workers(plain: Objects) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in _kind(plain, "NetworkPolicy")}
    nothing = policies["quartermaster-nothing"]
    assert nothing["podSelector"] == {}
    assert set(nothing["policyTypes"]) == {"Ingress", "Egress"}
    assert nothing.keys() == {"podSelector", "policyTypes"}
    (sent,) = policies["quartermaster-worker"]["egress"]
    assert [port["port"] for port in sent["ports"]] == [5000]
    assert sent["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "master"
    for name, spec in policies.items():
        for rule in spec.get("ingress", []):
            assert name == "quartermaster-master"
            assert [port["port"] for port in rule["ports"]] == [5000]
    database = [r for one in policies.values() for r in one.get("egress", [])]
    to_postgres = [r for r in database if {"port": 5432, "protocol": "TCP"} in r["ports"]]
    assert len(to_postgres) == ("quartermaster-database" in policies)


def test_one_master_with_a_volume_is_never_two() -> None:
    objects = _build(FOLDER / "sqlite")
    master = _named(objects, "StatefulSet", "quartermaster-master")["spec"]
    assert master["replicas"] == 1
    (claim,) = master["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    service = _named(objects, "Service", "quartermaster")["spec"]
    assert service["selector"] == {**OURS, "app.kubernetes.io/component": "master"}
    assert (
        master["serviceName"]
        == _named(objects, "Service", master["serviceName"])["metadata"]["name"]
    )


def test_two_masters_are_on_different_nodes_and_one_of_them_stays() -> None:
    objects = _build(FOLDER / "postgres")
    master = _named(objects, "Deployment", "quartermaster-master")["spec"]
    assert master["replicas"] == 2
    assert master["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert master["minReadySeconds"] >= 10
    spread = master["template"]["spec"]["topologySpreadConstraints"][0]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    budget = _named(objects, "PodDisruptionBudget", "quartermaster-master")
    assert budget["spec"]["maxUnavailable"] == 1
    environment = _environment(master["template"], "master")
    assert environment["MASTER_STORE_FILE"] == "/database/url"
    # A kustomization that gave the Service a selector would send scripts to workers, too.
    service = _named(objects, "Service", "quartermaster")["spec"]
    assert "selector" not in service
    (slice_,) = _kind(objects, "EndpointSlice")
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "quartermaster"
    assert slice_["ports"][0]["port"] == service["ports"][0]["targetPort"]


def test_workers_and_masters_use_the_name_that_has_all_addresses(plain: Objects) -> None:
    name = "quartermaster-masters"
    headless = _named(plain, "Service", name)["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    for component, template in _pods(plain).items():
        assert _environment(template, component)["QUEUE_HOST"] == name


def test_keda_asks_for_metrics_that_are_there_and_decides_how_many(whole: Objects) -> None:
    (scaled,) = _kind(whole, "ScaledObject")
    worker = _named(whole, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in worker["spec"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    query = trigger["metadata"]["query"]
    text = (REPO / "docs/metrics.md").read_text("utf-8")
    (metric,) = re.findall(r"quartermaster_\w+", query)
    (row,) = re.findall(rf"^\| `{metric}` \|.*", text, re.MULTILINE)
    for state in re.findall(r'state=~"([\w|]+)"', query)[0].split("|"):
        assert f"`{state}`" in row


def test_without_the_component_nobody_reaches_the_pages(plain: Objects) -> None:
    environment = _environment(_pods(plain)["master"], "master")
    assert environment["HTTP_BIND"] == "127.0.0.1"
    assert "HTTP_PLAIN" not in environment


def test_prometheus_gets_in_by_the_token_of_the_secret(whole: Objects) -> None:
    environment = _environment(_pods(whole)["master"], "master")
    assert environment["HTTP_BIND"] == "0.0.0.0"
    assert environment["HTTP_PLAIN"] == "1"
    (tokens,) = _pods(whole)["master"]["spec"]["initContainers"]
    assert "/data/web" in tokens["command"][-1]
    (monitor,) = _kind(whole, "PodMonitor")
    ports = {p["name"] for c in _containers(_pods(whole)["master"]) for p in c.get("ports", [])}
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
    assert (
        not {"HTTP_PLAIN"}
        & _environment(_pods(_build(FOLDER / "sqlite"))["master"], "master").keys()
    )


# ---- the container that has the Service lead to the active master

Handler = Callable[[str, dict[str, Any] | None], tuple[int, dict[str, Any]]]


@pytest.fixture
def api() -> Iterator[Callable[[Handler], int]]:
    """Starts a small HTTP server, and returns its port."""
    servers: list[http.server.HTTPServer] = []

    def start(answer: Handler) -> int:
        class Answers(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, found = answer(self.command + " " + self.path, json.loads(body or "null"))
                text = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PATCH = _answer

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def active() -> ModuleType:
    path = FOLDER / "postgres/active.py"
    spec = importlib.util.spec_from_file_location("active", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["active"] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_service_leads_to_whoever_became_active_last(
    api: Callable[[Handler], int], active: ModuleType, tmp_path: Path
) -> None:
    kept: dict[str, Any] = {"endpoints": []}
    asked: list[str] = []

    def answer(what: str, change: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        asked.append(what)
        kept.update(change or {})
        return 200, kept

    port = api(answer)
    (tmp_path / "token").write_text("secret\n")

    def here(address: str) -> Any:
        connect = lambda: HTTPConnection("127.0.0.1", port)  # noqa: E731
        return active.Slice(connect, "quartermaster", tmp_path / "token", address)

    assert active.look(lambda: True, here("10.0.0.1"), "") == ""
    assert kept["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]
    active.look(lambda: False, here("10.0.0.2"), "")  # a standby
    assert kept["endpoints"][0]["addresses"] == ["10.0.0.1"]
    active.look(lambda: True, here("10.0.0.2"), "")
    assert kept["endpoints"][0]["addresses"] == ["10.0.0.2"]
    active.look(lambda: True, here("10.0.0.2"), "")  # nothing to write
    path = "/apis/discovery.k8s.io/v1/namespaces/quartermaster/endpointslices/quartermaster-active"
    assert asked == [f"{verb} {path}" for verb in ("GET", "PATCH", "GET", "PATCH", "GET")]


def test_what_the_role_allows_is_what_is_asked(active: ModuleType) -> None:
    (role,) = _kind(_build(FOLDER / "postgres"), "Role")
    assert role["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "resourceNames": [active.SLICE],
            "verbs": ["get", "patch"],
        }
    ]


def test_a_refusal_of_the_api_is_one_line(
    api: Callable[[Handler], int],
    active: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = api(lambda *_: (403, {}))
    (tmp_path / "token").write_text("secret\n")
    connect = lambda: HTTPConnection("127.0.0.1", port)  # noqa: E731
    here = active.Slice(connect, "quartermaster", tmp_path / "token", "10.0.0.1")
    told = ""
    for _ in range(3):
        told = active.look(lambda: True, here, told)
    said = capsys.readouterr().err
    assert said == (
        "the Service may lead elsewhere: the API refuses GET quartermaster-active: HTTP 403\n"
    )


def test_only_a_master_that_is_ready_counts_as_active(
    api: Callable[[Handler], int], active: ModuleType
) -> None:
    assert active.is_active(api(lambda *_: (200, {})))
    assert not active.is_active(api(lambda *_: (503, {})))  # a standby
    assert not active.is_active(1)  # nobody listens
