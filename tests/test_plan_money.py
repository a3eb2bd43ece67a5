"""The most that a plan may cost in money: said beside the credits wherever a model writes the texts at a price."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from contentops.model.jobs import bound_words
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import plan_markdown
from contentops.schema_files import load_schema
from tests.fakes.chat import Raw, said
from tests.models import MODEL_PROJECT, Model, writes
from tests.pages import Browser
from tests.processes import blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

PRICE = "price: {input: 0.25, output: 2, currency: USD}\n"


def shop(build: Build, *items: str, settings: str = MODEL_PROJECT + PRICE, more: str = "") -> Path:
    """A project with these items, a model and a price."""
    return build({"contentops.yaml": settings, "content/blog.yaml": f"{more}{blog(*(items or ('one', 'two')))}"})


def planned(invoke: Run, root: Path, *arguments: str) -> Any:
    """The plan as JSON, which fits its schema."""
    document = invoke("plan", "--json", *arguments, cwd=root).json
    Draft7Validator(load_schema("plan")).validate(document)
    return document


def metered(body: Any, number: int) -> Raw:
    """A model that counts every byte as a token, and charges all that it may."""
    answer = json.loads(writes(body, number).body)["choices"][0]["message"]["content"]
    size = sum(len(message["content"].encode()) for message in body["messages"])
    return said(answer, usage={"prompt_tokens": size, "completion_tokens": body["max_tokens"] - 1})


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(MODEL_PROJECT.replace("engine: openai, model: small", "engine: outline") + PRICE, id="no-model"),
        pytest.param(MODEL_PROJECT.replace("base_url: local, engine: openai, model: small", "") + PRICE, id="remote"),
    ],
)
def test_without_a_model_at_a_price_a_plan_says_no_money(project: Build, invoke: Run, settings: str) -> None:
    """No key and no word is new."""
    root = shop(project, settings=settings)
    assert "money" not in json.dumps(planned(invoke, root))
    assert "tokens_at_most" not in json.dumps(planned(invoke, root))
    assert "USD" not in invoke("plan", cwd=root).stdout


def test_a_model_without_a_price_is_not_free(project: Build, invoke: Run, processes: None) -> None:
    """No one said what its tokens cost: text, JSON, Markdown, a plan file and the pages say so."""
    root = shop(project, settings=MODEL_PROJECT, more="defaults: {checks: {retries: 2, excludes: [harbour]}}\n")
    text = invoke("plan", "--out", "plan.json", cwd=root).stdout
    assert text.count("create      no price set  out/") == 2
    assert "Plan: 2 to create, 0 unchanged. No price set." in text
    document = planned(invoke, root)
    assert {*document["changes"][0]["tokens_at_most"]} == {"input", "output"}
    assert "money" not in json.dumps(document)
    read = plan_of(json.loads((root / "plan.json").read_text("utf-8")))
    assert "| no price set |" in plan_markdown(read)
    assert "free" not in text + plan_markdown(read)
    page = Browser(root).get("/plan").text
    assert "no price set" in page
    assert "free" not in page
    (root / "content" / "blog.yaml").write_text(blog("one"), "utf-8")
    with Model(metered) as model:
        ended = invoke("apply", "--yes", cwd=root, env=model.env)
    assert re.search(r"1 done\. [\d,]+ tokens \(no price set\) spent, ", ended.stdout), ended.stdout


REVIEWED = MODEL_PROJECT + PRICE
CHECKED = "defaults: {checks: {retries: 1, excludes: [never]}}\n"


@pytest.mark.parametrize(
    ("settings", "more", "why"),
    [
        pytest.param(REVIEWED.replace("output: 2", "output: 200"), CHECKED, "it costs at most", id="price"),
        pytest.param(REVIEWED.replace("USD", "EUR"), CHECKED, "EUR with every retry now, not 0.075 USD", id="currency"),
        pytest.param(REVIEWED.replace("small}", "small, max_tokens: 9000}"), CHECKED, "it costs at most", id="tokens"),
        pytest.param(REVIEWED, CHECKED.replace("1", "5"), "it costs at most", id="retries"),
        pytest.param(MODEL_PROJECT, CHECKED.replace("1", "5"), "again 5 times now, not 1", id="retries-without-price"),
    ],
)
@pytest.mark.parametrize("way", [["plan.json"], ["--reviewed", "plan.json"]])
def test_no_apply_spends_more_money_than_was_reviewed(
    project: Build, invoke: Run, settings: str, more: str, why: str, way: list[str]
) -> None:
    """A text of a model costs no credits: its money, and how often it may be made, are compared too."""
    root = shop(project, "one", settings=REVIEWED, more=CHECKED)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    (root / "contentops.yaml").write_text(settings, "utf-8")
    (root / "content" / "blog.yaml").write_text(more + blog("one"), "utf-8")
    with Model() as model:
        ended = invoke("apply", "--yes", *way, cwd=root, env=model.env)
    assert (ended.code, why in ended.stderr, model.prompts) == (4, True, []), ended.stderr


def test_a_plan_says_the_most_that_its_texts_may_cost(project: Build, invoke: Run) -> None:
    """In each change, each cause and the sum; as text, JSON and Markdown; and the real sum is no higher."""
    root = shop(project)
    document = planned(invoke, root)
    one = Decimal(document["changes"][0]["money_at_most"]["USD"])
    tokens = document["changes"][0]["tokens_at_most"]
    assert one == (tokens["input"] * Decimal("0.25") + tokens["output"] * 2) / 10**6
    assert document["summary"]["money_at_most"] == document["summary"]["money_worst"] == {"USD": str(2 * one)}
    text = invoke("plan", cwd=root).stdout
    assert text.count("create      at most 0.0") == 2
    both = {"USD": int(2 * one * 10**12)}
    most = bound_words(both, both)
    assert f"Plan: 2 to create, 0 unchanged. A{most[1:]}.\n" in text
    markdown = invoke("plan", "--format", "markdown", cwd=root).stdout
    assert "| | Item | Action | Cost | Output |" in markdown
    assert "| create | at most 0.0" in markdown
    with Model(metered) as model:
        ended = invoke("apply", "--yes", "--json", cwd=root, env=model.env)
    assert ended.code == 0
    Draft7Validator(load_schema("report")).validate(ended.json)
    spent = invoke("report", "--json", cwd=root).json
    assert Decimal(spent["money"]["USD"]) <= 2 * one
    assert (ended.json["run"]["money"], ended.json["run"]["tokens"]) == (spent["money"], spent["tokens"])
    assert sum(Decimal(each["money"]["USD"]) for each in ended.json["run"]["outcomes"]) == Decimal(
        spent["money"]["USD"]
    )
    assert spent["texts"] == 2
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0


def test_a_longer_text_may_cost_more(project: Build, invoke: Run) -> None:
    """The limit follows the words that the inputs ask for, the mode, and `max_tokens` of the settings."""
    root = shop(project, "one")
    sums = [planned(invoke, root)["summary"]["money_at_most"]["USD"]]
    for change in (
        ("contentops.yaml", "mode: quick", "mode: premium"),
        ("contentops.yaml", "model: small", "model: small, max_tokens: 9000"),
        ("content/blog.yaml", "inputs: {", "inputs: {word_count_target: 90000, "),
    ):
        path = root / change[0]
        path.write_text(path.read_text("utf-8").replace(*change[1:]), "utf-8")
        sums.append(planned(invoke, root)["summary"]["money_at_most"]["USD"])
    path = root / "contentops.yaml"
    path.write_text(path.read_text("utf-8").replace("model: small,", "model: small, passes: one,"), "utf-8")
    assert Decimal(planned(invoke, root)["summary"]["money_at_most"]["USD"]) < Decimal(sums[-1])
    assert sorted(sums[:3], key=Decimal) == sums[:3]
    assert len({*sums[:3]}) == 3


@pytest.mark.parametrize(
    ("least", "worst", "retries", "words"),
    [
        (42 * 10**9, 42 * 10**9, 0, "at most 0.042 USD"),
        (42_010_000_000, 42_010_000_000, 0, "at most 0.0421 USD"),
        (42 * 10**9, 126 * 10**9, 2, "at most 0.042 USD, 0.126 USD with 2 retries"),
        (42 * 10**9, 84 * 10**9, 1, "at most 0.042 USD, 0.084 USD with 1 retry"),
        (1_000_000_000_001, 1_000_000_000_001, 0, "at most 1.01 USD"),
    ],
)
def test_a_bound_is_rounded_up(least: int, worst: int, retries: int, words: str) -> None:
    """Never below what it may cost."""
    assert bound_words({"USD": least}, {"USD": worst}, retries) == words


def test_an_apply_says_what_it_has_spent(project: Build, invoke: Run) -> None:
    """In money, with the jobs that failed; and how many texts are not in it."""
    root = shop(project, "alpha", "beta", "gamma")

    def partly(body: Any, number: int) -> Raw:
        asked = body["messages"][1]["content"]
        if "All about beta" in asked:
            return said("  ", usage={"prompt_tokens": 1000, "completion_tokens": 0})
        return writes(body, number) if "All about gamma" in asked else metered(body, number)

    with Model(partly) as model:
        ended = invoke("apply", "--yes", cwd=root, env=model.env)
    text = unpainted(ended.stdout)
    assert "Apply: 2 done, 1 failed. 0.0" in text
    assert " USD spent, 1 text without token counts, " in text


def test_a_plan_says_what_such_texts_cost_so_far(project: Build, invoke: Run) -> None:
    """The average of their model and template at the price of today, beside the most that they can cost."""
    root = shop(project, "alpha", "beta")
    assert all(note["kind"] != "usual-cost" for note in planned(invoke, root)["notes"])
    with Model(metered) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    spent = Decimal(invoke("report", "--json", cwd=root).json["money"]["USD"])
    (root / "content/blog.yaml").write_text(blog("alpha", "beta", "gamma", "delta", "eps"))
    text = " ".join(unpainted(invoke("plan", cwd=root).stdout).split())
    assert f"3 texts: {spent * 3 / 2:.6f}"[:16] in text, text
    assert " USD by the average of 2 such texts so far" in text
    most = Decimal(planned(invoke, root)["summary"]["money_at_most"]["USD"])
    assert spent * 3 / 2 < most


def test_an_item_that_waits_for_a_text_has_its_bound(project: Build, invoke: Run) -> None:
    """Its brief is not known yet, so it is counted as full; with its retries, in a plan file too."""
    manifest = {
        "defaults": {"checks": {"retries": 1, "excludes": ["harbour"]}},
        "items": [
            {"id": "guide", "inputs": {"topic": "Tides", "target_audience": "all"}},
            {"id": "teaser", "inputs": {"topic": "{{ ref('guide').excerpt(40) }}", "target_audience": "all"}},
        ],
    }
    root = project({"contentops.yaml": MODEL_PROJECT + PRICE, "content/a.yaml": json.dumps(manifest)})
    document = planned(invoke, root)
    guide, teaser = document["changes"]
    assert teaser["action"] == "wait"
    assert Decimal(teaser["money_at_most"]["USD"]) > Decimal(guide["money_at_most"]["USD"])
    assert Decimal(teaser["money_worst"]["USD"]) == 2 * Decimal(teaser["money_at_most"]["USD"])
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    read = plan_of(json.loads((root / "plan.json").read_text("utf-8")))
    assert {name: int(Decimal(value) * 10**12) for name, value in document["summary"]["money_worst"].items()} == (
        read.money_worst
    )


def test_the_pages_say_the_money(project: Build, processes: None) -> None:
    """The plan by cause, what a button spends, and the price of another text."""
    root = shop(project)
    browser = Browser(root)
    page = browser.get("/plan").text
    assert '<th scope="col" class="number">Cost</th>' in page
    assert page.count("at most 0.0375 USD") >= 2
    assert "at most 0.075 USD" in page
    asked = browser.get("/confirm?action=apply&id=one").text
    assert "Spend up to 0.0375 USD</button>" in asked
    assert "for free" not in asked
    assert "at most 0.0375 USD" in browser.get("/item?id=one").text


MENTIONS = """\
items:
  - id: one
    inputs: {topic: One, target_audience: readers}
    metadata: {more: "{{ ref('two').path }}"}
  - id: two
    inputs: {topic: "Two, after {{ ref('one').title }}", target_audience: readers}
"""


def test_the_money_of_a_text_counts_in_whichever_wave_it_was_made(project: Build, invoke: Run) -> None:
    """`one` is made in the first wave, and gets only its front matter in the second."""
    root = project({"contentops.yaml": MODEL_PROJECT + PRICE, "content/blog.yaml": MENTIONS})
    with Model(metered) as model:
        ended = invoke("apply", "--yes", "--json", cwd=root, env=model.env)
    assert (ended.code, [one["steps"].count("submit") for one in ended.json["run"]["outcomes"]]) == (0, [1, 1])
    assert ended.json["run"]["money"] == invoke("report", "--json", cwd=root).json["money"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model: huge", "the plan was made for the model `small`, and `api.model` is `huge` now"),
        ("model: small, passes: one", "the plan was made for `api.passes: staged`, and it is `one` now"),
        ("model: small, max_tokens: 900", "the plan was made for `api.max_tokens: 300`, and it is 900 now"),
    ],
)
@pytest.mark.parametrize("option", ["", "--reviewed"])
def test_a_reviewed_plan_is_for_its_model(project: Build, invoke: Run, option: str, change: str, said: str) -> None:
    """Also without a price: another model, or another way to ask it, is another plan."""
    limit = ", max_tokens: 300" if "max_tokens" in change else ""
    root = shop(project, "one", settings=MODEL_PROJECT.replace("model: small", f"model: small{limit}"))
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    (root / "contentops.yaml").write_text(MODEL_PROJECT.replace("model: small", change), "utf-8")
    with Model() as model:
        ended = invoke("apply", *filter(None, [option, "plan.json"]), "--yes", cwd=root, env=model.env)
    assert (ended.code, said in ended.stderr, model.prompts) == (4, True, []), ended.stderr
