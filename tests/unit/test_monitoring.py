"""The dashboard and the alerts in contrib: well formed, and about metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from faktory_tw.metrics import Metrics
from tests.unit.house import House, job

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
DASHBOARD: dict[str, Any] = json.loads((CONTRIB / "grafana" / "faktory-tw.json").read_text(encoding="utf-8"))
RULES: dict[str, Any] = yaml.safe_load((CONTRIB / "prometheus" / "faktory-tw.rules.yml").read_text(encoding="utf-8"))
SCRAPE: dict[str, Any] = yaml.safe_load((CONTRIB / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
NAME = re.compile(r"\b(?:faktory|process)_[a-z0-9_]+")
SELECTOR = re.compile(r"\b((?:faktory|process)_[a-z0-9_]+)\{([^}]*)\}")
LABEL = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
FROM_PROMETHEUS = {"job", "instance", "le"}  # labels that it adds


def values(node: Any, key: str) -> Iterator[Any]:
    """Every value of `key`, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)


def expressions() -> list[str]:
    """Every query of the dashboard and the alerts, those of the dashboard's variables included."""
    found = [text for node in (DASHBOARD, RULES) for text in values(node, "expr")]
    return [*found, *(text for text in values(DASHBOARD, "definition") if isinstance(text, str))]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The labels of each sample that /metrics has, by its name."""
    house = House()
    house.server.backups = SimpleNamespace(
        count=1, last=SimpleNamespace(taken_at=1.0, size_bytes=1, jobs=1), last_error="", running=False
    )
    house.talk().say(b"PUSH " + job(1))
    room = SimpleNamespace(free=1, least=0)
    text = b"".join(Metrics(house.server, tmp_path_factory.mktemp("data"), room).scrape()).decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    house.close()
    return found


@pytest.mark.parametrize("expression", expressions())
def test_a_query_names_metrics_and_labels_that_there_are(
    told: dict[str, list[dict[str, str]]], expression: str
) -> None:
    for name in NAME.findall(expression):
        assert name in told, name
    for name, selectors in SELECTOR.findall(expression):
        for label, wanted in LABEL.findall(selectors):
            if label not in FROM_PROMETHEUS:
                assert label in told[name][0], f"{name} has no label {label}"
                plain = not set(wanted) & set("$|*")
                seen = {labels[label] for labels in told[name]}
                assert not plain or wanted in seen | {"ok", "error"}, f"{name} has no {label} {wanted}"


@pytest.mark.parametrize("expression", expressions())
def test_brackets_and_quotes_of_a_query_are_closed(expression: str) -> None:
    text = re.sub(r'"[^"]*"', "", expression)
    assert '"' not in text
    for opening, closing in ("()", "[]", "{}"):
        assert text.count(opening) == text.count(closing)


def test_every_metric_is_on_the_dashboard(told: dict[str, list[dict[str, str]]]) -> None:
    shown = {name for text in expressions() for name in NAME.findall(text)}
    for name in told:
        if name.startswith("faktory_") and not name.endswith(("_sum", "_count", "_timestamp_seconds")):
            assert name in shown, name


def test_the_dashboard_can_be_imported_anywhere() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= {"row", "stat", "timeseries", "heatmap"}
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "job", "instance", "queue"]
    assert all(source["uid"] == "${datasource}" for source in values(DASHBOARD, "datasource"))
    for text in expressions():
        assert set(re.findall(r"\$(\w+)", text)) <= {*variables, "__rate_interval", "labels", "value"}


def test_no_two_panels_of_the_dashboard_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_where_and_how_bad() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert "$labels.instance" in rule["annotations"]["summary"], rule["alert"]


def test_the_example_asks_where_the_metrics_are() -> None:
    (scrape,) = SCRAPE["scrape_configs"]
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["static_configs"][0]["targets"] == ["localhost:7420"]
    assert "password" not in scrape["basic_auth"], "it belongs in a file"
    assert (CONTRIB / "prometheus" / SCRAPE["rule_files"][0]).exists()
    assert f'job="{scrape["job_name"]}"' in RULES["groups"][0]["rules"][0]["expr"]
