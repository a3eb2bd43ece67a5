"""A feature screenplay is paid for by its pages: plan, guards, server, report and lock count it alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from contentops.model import Request
from contentops.pricing import CREDITS, Price
from contentops.schema_files import load_schema
from contentops.server.jobs import GenerationRequest
from tests.serving import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

FILM = {"logline": "A keeper leaves.", "genre": "drama", "protagonist_name": "Ann", "setting_primary": "a light"}


@pytest.mark.parametrize(
    ("mode", "inputs", "price"),
    [
        ("quick", {"page_count": 90}, Price(1)),
        ("quick", {}, Price(1)),
        ("standard", {"page_count": 1}, Price(4)),
        ("standard", {"page_count": 15}, Price(4)),
        ("standard", {"page_count": 16}, Price(8)),
        ("standard", {"page_count": 35}, Price(12)),
        ("standard", {"page_count": 120}, Price(12)),
        ("premium", {"page_count": 60}, Price(20)),
        ("premium", {"page_count": 70}, Price(25)),
        ("premium", {"pages": "46"}, Price(20)),
        ("premium", {"pages": 45.5}, Price(20)),
        ("premium", {"target_pages": 10, "page_count": 20}, Price(10)),
        ("standard", {}, Price(12, at_most=True)),
        ("premium", {}, Price(25, at_most=True)),
        *(("standard", {"pages": odd}, Price(12, at_most=True)) for odd in (0, -4, True, "90-100", [3], None)),
    ],
)
def test_the_price_of_a_screenplay(mode: str, inputs: dict[str, Any], price: Price) -> None:
    """ceil(pages / 15) times the mode's credits, up to the mode's pages; without pages that is an upper bound."""
    assert Request(template="feature_screenplay", style="s", mode=mode, inputs=inputs).price() == price
    assert GenerationRequest(template="feature_screenplay", mode=mode, inputs=inputs).credits == price.credits


@pytest.mark.parametrize("mode", CREDITS)
def test_all_else_costs_its_mode(mode: str) -> None:
    """Other templates whatever their pages, and one section of a screenplay."""
    pages = {"page_count": 60}
    assert Request(template="tv_pilot_script", style="s", mode=mode, inputs=pages).price() == Price(CREDITS[mode])
    film = Request(template="feature_screenplay", style="s", mode=mode, inputs=pages)
    assert film.price("## Act one") == Price(CREDITS[mode])
    section = GenerationRequest(kind="section", template="feature_screenplay", mode=mode, inputs=pages)
    assert section.credits == CREDITS[mode]


def _films(project: Build, address: str, **pages: int | None) -> Path:
    items = [
        {"id": name, "inputs": FILM if number is None else {**FILM, "page_count": number}}
        for name, number in pages.items()
    ]
    settings = {
        "version": 1,
        "project": "films",
        "api": {"base_url": f"{address}/v1", "requests_per_minute": 6000},
        "budget": {"credits_per_apply": 5},
        "defaults": {"template": "feature_screenplay", "style": "cinematic_dialogue", "mode": "premium"},
    }
    return project({"contentops.yaml": json.dumps(settings), "content/films.yaml": json.dumps({"items": items})})


def test_plan_budget_bill_and_report_agree(tmp_path: Path, project: Build, invoke: Run, processes: None) -> None:
    """Sixty pages of a premium screenplay cost 20 credits everywhere, and 5 are not enough for them."""
    with served(tmp_path, key="k-1") as address:
        env = {"WRITERZROOM_API_KEY": "k-1", "CONTENTOPS_SERVERS": address}
        root = _films(project, address, light=60)
        planned = invoke("plan")
        assert "Plan: 1 to create, 0 unchanged. 20 credits." in planned.stdout
        assert "it costs 20 credits; `budget.credits_per_apply` is 5" in planned.stdout
        assert invoke("apply", "--yes", env=env).code == 4
        done = invoke("apply", "--yes", "--approve-credits", "20", "--json", env=env)
        assert (done.code, done.json["run"]["credits"]) == (0, 20)
        assert '"credits":20' in (root / "contentops.jobs").read_text().replace(" ", "")
        assert invoke("stats", "--json", env=env).json["credits"]["used"] == 20
        assert "1 text, 20 credits." in invoke("report", "--runs").stdout


def test_without_pages_the_most_is_shown(tmp_path: Path, project: Build, invoke: Run) -> None:
    """Text, Markdown, JSON and `show` say that it is an upper bound, and so does the plan read back from its file."""
    root = _films(project, "https://api.example.test", light=None, storm=15)
    text = invoke("plan", "--out", "plan.json").stdout
    assert "create      at most 25 credits" in text
    assert "create      5 credits" in text
    assert "2 to create, 0 unchanged. At most 30 credits." in text
    assert "it costs at most 30 credits; `budget.credits_per_apply` is 5" in text
    assert "| at most 25 |" in invoke("plan", "--format", "markdown").stdout
    document = json.loads((root / "plan.json").read_text("utf-8"))
    jsonschema.validate(document, load_schema("plan"))
    found = [(each["credits"], each.get("credits_at_most", False)) for each in document["changes"]]
    assert found == [(25, True), (5, False)]
    assert document["summary"]["credits_at_most"] is True
    assert "at most 25 credits" in invoke("show", "plan.json").stdout
    shown = invoke("show", "light", "--json").json
    assert (shown["credits"], shown["credits_at_most"]) == (25, True)
