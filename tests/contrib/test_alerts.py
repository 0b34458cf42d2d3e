"""The rules for alerts are what Prometheus understands, and speak of metrics that there are."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from gaffer import Fail, Gaffer
from gaffer.contrib.prometheus import EventMetrics, StateCollector

PAGE = Path(__file__).parents[2] / "docs/how-to/alerts.yml"
RULES = yaml.safe_load(PAGE.read_text())["groups"][0]["rules"]


def metrics() -> set[str]:
    """Return the names of all metrics of a process in which a job has failed."""
    registry = CollectorRegistry()
    with Gaffer("memory", hooks=[EventMetrics(registry)], work=False) as g:
        queue = g.ensure_queue("q", worker=lambda job: Fail("no"), max_attempts=1)
        registry.register(StateCollector(g))
        queue.insert(1)
        queue.poll()
        page = generate_latest(registry).decode()
    return set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))


def test_each_rule_speaks_of_metrics_that_there_are() -> None:
    known = metrics()

    for rule in RULES:
        named = set(re.findall(r"gaffer_\w+", rule["expr"]))
        assert named, rule
        # A counter's type is told under its name without the end, by some releases.
        assert {n for n in named if not {n, n.removesuffix("_total")} & known} == set(), rule


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_can_be_read_by_prometheus(rule: dict[str, str]) -> None:
    import_module("promql_parser").parse(rule["expr"])


def test_each_rule_has_a_name_a_severity_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len({*names}) == len(names) == 6
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "action"}
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert labels <= set(re.findall(r"by \((\w+)\)", rule["expr"]))
