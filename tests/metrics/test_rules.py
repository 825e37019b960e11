"""The files that Prometheus and Grafana read are right by their own tools."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.integration.web import Web
from tests.metrics.conftest import REPO, promtool


def groups() -> list[dict[str, Any]]:
    """The groups of rules in alerts.yml."""
    found: list[dict[str, Any]] = yaml.safe_load((REPO / "deploy/alerts.yml").read_text())["groups"]
    return found


def test_promtool_finds_nothing_to_mend_in_what_a_master_tells(web: Web) -> None:
    answer = web.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert promtool("check", "metrics", given=answer.text.encode()) == ""


def test_the_rules_are_rules() -> None:
    rules = [rule for group in groups() for rule in group["rules"]]
    assert rules
    assert f" {len(rules)} rules found" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "alerts.test.yml")


def test_each_alert_is_tried_and_is_on_the_page() -> None:
    names = {rule["alert"] for group in groups() for rule in group["rules"]}
    tests = yaml.safe_load((REPO / "deploy/alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names
    page = (REPO / "docs/metrics.md").read_text()
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_the_configuration_of_compose_is_one_of_prometheus(tmp_path: Path) -> None:
    """promtool sees each file where compose mounts it: in place of the root, the test has a folder
    with the mounted files, and the paths of the configuration begin there."""
    service = compose("metrics")["services"]["prometheus"]
    for volume in service["volumes"]:
        inside = tmp_path / volume["target"].lstrip("/")
        if volume["type"] == "bind":
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.symlink_to(volume["source"])
        else:
            inside.mkdir(parents=True)
    (tmp_path / "token/read").write_text("a token")  # as the service `token` leaves it
    flags = dict(word.removeprefix("--").split("=", 1) for word in service["command"])
    path = tmp_path / flags["config.file"].lstrip("/")
    config = yaml.safe_load(path.read_text())
    config["rule_files"] = [str(tmp_path / one.lstrip("/")) for one in config["rule_files"]]
    for scrape in config["scrape_configs"]:
        file = scrape["authorization"]["credentials_file"]
        scrape["authorization"]["credentials_file"] = str(tmp_path / file.lstrip("/"))
    checked = tmp_path / "checked.yml"
    checked.write_text(yaml.safe_dump(config))
    said = promtool("check", "config", str(checked))
    assert "SUCCESS" in said
    assert "1 rule files found" in said
    assert (tmp_path / flags["storage.tsdb.path"].lstrip("/")).is_dir()


def test_what_compose_scrapes_is_the_master_on_the_port_of_its_pages() -> None:
    services = compose("metrics")["services"]
    config = yaml.safe_load((REPO / "deploy/metrics/prometheus.yml").read_text())
    targets = [
        target
        for scrape in config["scrape_configs"]
        for static in scrape["static_configs"]
        for target in static["targets"]
    ]
    (target,) = targets
    host, _, port = target.partition(":")
    assert port in {str(one["target"]) for one in services[host]["ports"]}
    assert set(services["prometheus"]["networks"]) & set(services[host]["networks"])
    assert set(services["prometheus"]["networks"]) & set(services["grafana"]["networks"])


def compose(*profiles: str) -> dict[str, Any]:
    words = ["docker", "compose", *(f"--profile={name}" for name in profiles), "config"]
    done = subprocess.run(
        [*words, "--format=json"], cwd=REPO, capture_output=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_profile_adds_prometheus_and_grafana_with_files_that_are_there() -> None:
    plain, with_metrics = compose()["services"], compose("metrics")["services"]
    assert set(with_metrics) - set(plain) == {"token", "prometheus", "grafana"}
    for name in ("prometheus", "grafana"):
        (port,) = with_metrics[name]["ports"]
        assert port["host_ip"] == "127.0.0.1"
        for volume in with_metrics[name]["volumes"]:
            assert volume["type"] != "bind" or Path(volume["source"]).is_file(), volume
    mounted = {volume["target"]: volume for volume in with_metrics["prometheus"]["volumes"]}
    assert mounted["/token"]["source"] == "token"
    assert "/data" not in mounted  # it sees nothing of the store
    config = yaml.safe_load((REPO / "deploy/metrics/prometheus.yml").read_text())
    assert config["scrape_configs"][0]["authorization"]["credentials_file"] == "/token/read"
    assert config["rule_files"] == ["/etc/prometheus/alerts.yml"]
    assert "/etc/prometheus/alerts.yml" in mounted


def test_grafana_is_told_of_the_prometheus_and_of_the_dashboard_beside_it() -> None:
    services = compose("metrics")["services"]
    mounted = {volume["target"] for volume in services["grafana"]["volumes"]}
    folder = REPO / "deploy/metrics/grafana"
    bind = {v["source"]: v["target"] for v in services["grafana"]["volumes"]}
    provisioning = "/etc/grafana/provisioning"
    assert bind[str(folder / "datasource.yml")].startswith(f"{provisioning}/datasources/")
    assert bind[str(folder / "dashboards.yml")].startswith(f"{provisioning}/dashboards/")
    (source,) = yaml.safe_load((folder / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounted
    assert str(Path(home).parent) == provider["options"]["path"]
    assert bind[str(REPO / "deploy/grafana.json")] == home


def test_each_panel_of_the_dashboard_asks_the_source_that_grafana_is_told_of() -> None:
    """By a variable, which is a Prometheus, so that the dashboard can be used in other Grafanas."""
    file = REPO / "deploy/metrics/grafana/datasource.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    dashboard = json.loads((REPO / "deploy/grafana.json").read_text())
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == source["type"] == "prometheus"
    assert source["isDefault"], "a variable of this kind begins with the default"
    known = {"${datasource}", source["uid"], "-- Grafana --"}
    found = list(sources_in(dashboard))
    assert len(found) > 10
    assert {one["uid"] for one in found} <= known
    assert {one["type"] for one in found if one["uid"] != "-- Grafana --"} == {source["type"]}


def sources_in(value: Any) -> Iterator[dict[str, str]]:
    """Each source that a part of a dashboard names."""
    if isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        for one in value.values():
            yield from sources_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from sources_in(one)
