"""The files that Prometheus and Grafana read are right by their own tools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.integration.web import Web
from tests.metrics.conftest import REPO, promtool


def test_promtool_finds_nothing_to_mend_in_what_a_master_tells(web: Web) -> None:
    answer = web.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert promtool("check", "metrics", given=answer.text.encode()) == ""


def test_the_rules_are_rules() -> None:
    assert "10 rules found" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "alerts.test.yml")


def test_each_alert_is_tried_and_is_on_the_page() -> None:
    rules = yaml.safe_load((REPO / "deploy/alerts.yml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tests = yaml.safe_load((REPO / "deploy/alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names
    page = (REPO / "docs/metrics.md").read_text()
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_the_configuration_of_compose_is_one_of_prometheus(tmp_path: Path) -> None:
    """Its paths are those of the container: the test puts files of this machine in their place."""
    text = (REPO / "deploy/metrics/prometheus.yml").read_text()
    token = tmp_path / "read"
    token.write_text("a token")
    text = text.replace("/token/read", str(token))
    text = text.replace("/etc/prometheus/alerts.yml", str(REPO / "deploy/alerts.yml"))
    (tmp_path / "prometheus.yml").write_text(text)
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


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
    (source,) = yaml.safe_load((folder / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounted
    assert str(Path(home).parent) == provider["options"]["path"]
