"""What is written of the metrics: the dashboard, the alerts and the table name those that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from jobq.observe.metrics import text
from tests.observe.test_metrics import full

DOCS: Final = Path(__file__).parents[2] / "docs"
DASHBOARD: Final = DOCS / "grafana" / "jobq.json"
PAGE: Final = DOCS / "guide" / "monitoring.md"

NAME: Final = re.compile(r"\bjobq_[a-z_]+")


def existing() -> set[str]:
    """Return the names of all samples."""
    said = text(full())[0].decode()
    return {one.name for family in read_text(said) for one in family.samples}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def queries() -> Iterator[str]:
    """Go through the queries of all panels, their variables filled in."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$queue", ".*").replace("$__rate_interval", "5m")


def alerts() -> str:
    blocks = re.findall(r"```yaml\n(groups:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = blocks
    return str(found)


def test_every_metric_of_the_dashboard_exists() -> None:
    every = list(queries())
    assert len(every) > 30
    assert {name for query in every for name in NAME.findall(query)} <= existing()


def test_the_dashboard_is_one() -> None:
    found = dashboard()
    panels = found["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    assert all(one["gridPos"]["x"] + one["gridPos"]["w"] <= 24 for one in panels)
    variables = {one["name"] for one in found["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)", DASHBOARD.read_text(encoding="utf-8")))
    assert used - {"__all"} <= variables


def test_the_page_names_all_metrics_and_no_others() -> None:
    page = PAGE.read_text(encoding="utf-8")
    families = {one.name for one in read_text(text(full())[0].decode())}
    page = re.sub(r"`_([a-z]+)_`", r"`jobq_jobs_\1_total`", page)
    named = set(NAME.findall(page)) - {"jobq_jobs_"}
    assert named <= existing() | families
    assert {one for one in families if one not in page} == set()


def test_promtool_takes_the_queries_and_the_alerts(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    rules = [{"record": f"r{number}", "expr": query} for number, query in enumerate(queries())]
    asked = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "queries.yml").write_text(json.dumps(asked))
    (tmp_path / "alerts.yml").write_text(alerts())
    words = [promtool, "check", "rules", *map(str, tmp_path.glob("*.yml"))]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
