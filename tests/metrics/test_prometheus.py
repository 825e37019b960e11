"""A real Prometheus scrapes a run; the dashboard's queries give data, and an alert fires."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.processes import eventually
from tests.integration.web import Web
from tests.metrics.conftest import REPO, Prometheus

DASHBOARD = json.loads((REPO / "deploy/grafana.json").read_text())


def queries(panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each query of the panels, those within rows too, with the title of its panel."""
    for panel in panels:
        yield from queries(panel.get("panels", []))
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def filled(expression: str) -> str:
    """A query as Grafana sends it, with all instances and jobs chosen."""
    found = expression.replace("$__rate_interval", "1m")
    found = found.replace("$instance", ".*").replace("$job_name", ".*")
    assert "$" not in found, found
    return found


def test_a_run_is_seen_from_its_first_task_to_its_last(web: Web, prometheus: Prometheus) -> None:
    run = web.master.submit("square", "count=200")
    waiting = 'quartermaster_tasks{job_name="square", state="waiting"}'
    eventually(lambda: prometheus.value(waiting) == 200)
    no_worker = 'ALERTS{alertname="QuartermasterNoWorker"}'
    ((labels, _),) = eventually(lambda: prometheus.query(no_worker))
    assert (labels["alertstate"], labels["severity"]) == ("pending", "critical")
    web.master.worker()
    web.master.ended_tasks(run, 200)
    done = 'quartermaster_task_outcomes_total{job_name="square", outcome="done"}'
    eventually(lambda: prometheus.value(done) == 200)
    assert prometheus.value('sum(quartermaster_slots{state=~"busy|idle"})') == 2
    ran = 'quartermaster_task_run_seconds_count{job_name="square"}'
    assert prometheus.value(ran) == 200
    eventually(lambda: prometheus.query(no_worker) == [])


def test_tasks_that_wait_for_a_tag_that_no_worker_has_are_seen(
    web: Web, prometheus: Prometheus
) -> None:
    alert = 'ALERTS{alertname="QuartermasterNoTag"}'
    web.master.worker(WORKER_TAGS="eu")
    options = "\nfrom queue_manager import Options\nOPTIONS = Options(needs={'gpu'})\n"
    square = (web.master.jobs / "square.py").read_text()
    (web.master.jobs / "tagged.py").write_text(square + options)
    run = web.master.submit("tagged", "count=30")
    eventually(lambda: prometheus.value("quartermaster_tasks_without_worker") == 30)
    ((labels, _),) = eventually(lambda: prometheus.query(alert))
    assert (labels["alertstate"], labels["severity"]) == ("pending", "warning")
    assert prometheus.query('ALERTS{alertname="QuartermasterNoWorker"}') == []
    web.master.worker(WORKER_TAGS="gpu")
    web.master.ended_tasks(run, 30)
    eventually(lambda: prometheus.query(alert) == [])
    assert prometheus.value("quartermaster_tasks_without_worker") == 0


def test_what_workers_take_is_seen(web: Web, prometheus: Prometheus) -> None:
    web.master.worker()
    eventually(lambda: (prometheus.value("quartermaster_workers_memory_bytes") or 0) > 10e6)
    fullest = prometheus.value("quartermaster_workers_memory_fullest_ratio")
    assert fullest is not None
    assert 0 < fullest < 1


def test_each_query_of_the_dashboard_gives_data(web: Web, prometheus: Prometheus) -> None:
    """A name that no metric has gives nothing, and so does a label that is not there."""
    web.master.worker()
    run = web.master.submit("square", "count=50")
    web.master.ended_tasks(run, 50)
    web.master.submit("square", "count=50")
    found = list(queries(DASHBOARD["panels"]))
    assert len(found) > 30
    for title, expression in found:
        what = f"{title}: {expression}"
        eventually(lambda e=expression: prometheus.query(filled(e)), what=what)  # type: ignore[misc]
    (annotation,) = DASHBOARD["annotations"]["list"]
    prometheus.query(filled(annotation["expr"]))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert asked, variable
            metric, label = asked.groups()
            values = {labels.get(label) for labels, _ in prometheus.query(filled(metric))}
            assert values - {None}, variable


def test_a_wrong_token_is_seen_as_a_scrape_that_failed(
    web: Web, prometheus: Prometheus, tmp_path: Any
) -> None:
    (tmp_path / "prometheus" / "token").write_text("no token of ours")
    eventually(lambda: prometheus.value('up{job="quartermaster"}') == 0)
    assert eventually(lambda: prometheus.query('ALERTS{alertname="QuartermasterNotScraped"}'))
    assert not prometheus.query('ALERTS{alertname="QuartermasterDown"}')  # it works


def test_a_frozen_master_is_down_and_comes_back(web: Web, prometheus: Prometheus) -> None:
    pid = web.master.process.popen.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: prometheus.value("quartermaster_up") == 0)
        assert prometheus.value("quartermaster_starts_total") is None
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: prometheus.value("quartermaster_up") == 1)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nobody_reads_metrics(web: Web, token: str) -> None:
    assert web.get("/metrics", token=token).code == 401
