"""Money and credits: what texts may cost, by settings, mode and pages, and how plans, pages and reports say it."""

import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from contentops.errors import InputError
from contentops.manifests.project import load_project
from contentops.model import Project, Request
from contentops.model.jobs import bound_words
from contentops.operations.opening import Runtime
from contentops.pricing import Price
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_markdown import plan_markdown
from contentops.schema_files import load_schema
from contentops.server.jobs import GenerationRequest
from contentops.tokens import TokenPrice
from tests.fakes.chat import Raw, refused, said
from tests.models import MODEL_PROJECT, Model, writes
from tests.pages import Browser
from tests.plans import read_back
from tests.processes import blog
from tests.running import Build, Run
from tests.serving import served

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


def test_a_model_without_a_price_is_not_free(project: Build, invoke: Run, processes: None) -> None:
    """No one said what its tokens cost: text, JSON, Markdown, a plan file and the pages say so."""
    root = shop(project, settings=MODEL_PROJECT, more="defaults: {checks: {retries: 2, excludes: [harbour]}}\n")
    text = invoke("plan", "--out", "plan.json", cwd=root).stdout
    assert text.count("create      no price set  out/") == 2
    assert "Plan: 2 to create, 0 unchanged. No price set." in text
    document = planned(invoke, root)
    assert {*document["changes"][0]["tokens_at_most"]} == {"input", "output"}
    assert "money" not in json.dumps(document)
    read = read_back(json.loads((root / "plan.json").read_text("utf-8")))
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


@pytest.mark.parametrize(("settings", "more", "why"), [
    pytest.param(REVIEWED.replace("output: 2", "output: 200"), CHECKED, "it costs at most", id="price"),
    pytest.param(REVIEWED.replace("USD", "EUR"), CHECKED, "EUR with every retry now, not 0.075 USD", id="currency"),
    pytest.param(REVIEWED.replace("small}", "small, max_tokens: 9000}"), CHECKED, "it costs at most", id="tokens"),
    pytest.param(REVIEWED, CHECKED.replace("1", "5"), "it costs at most", id="retries"),
    pytest.param(MODEL_PROJECT, CHECKED.replace("1", "5"), "again 5 times now, not 1", id="retries-without-price"),
])  # fmt: skip
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
    assert (spent["texts"], invoke("plan", "--detailed-exitcode", cwd=root).code) == (2, 0)


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
    read = read_back(json.loads((root / "plan.json").read_text("utf-8")))
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


@pytest.mark.parametrize(("old", "new"), [
    ("output: 2,", "output: 200,"), ("model: small", "model: small, max_tokens: 9000"), ("model: small", "model: huge"),
])  # fmt: skip
def test_a_button_spends_nothing_once_the_price_or_the_model_is_another(
    project: Build, processes: None, old: str, new: str
) -> None:
    """The settings changed while a page was open: it is shown again, with the price of today."""
    root = shop(project, "one")
    with Model() as model:
        browser = Browser(root, runtime=Runtime(environ={**os.environ, **model.env}))
        button = browser.form(action="apply", id="one")
        (root / "contentops.yaml").write_text((MODEL_PROJECT + PRICE).replace(old, new), "utf-8")
        answer = browser.post("/apply", **button)
    assert (answer.status_code, model.prompts) == (409, [])
    assert "this was done already, or the project changed" in answer.text


def test_an_open_job_keeps_the_limit_that_its_plan_had(project: Build, invoke: Run) -> None:
    """A plan prices an open job as it was ordered, so settings that allow more do not count for it."""
    low = (MODEL_PROJECT + PRICE).replace("model: small", "model: small, max_tokens: 100")
    root, charged = shop(project, "one", settings=low), [0]

    def reply(body: Any, number: int) -> Raw:
        if number == 1:
            return refused(401, "revoked")
        answer = metered(body, number)
        usage = json.loads(answer.body)["usage"]
        charged.append(250_000 * usage["prompt_tokens"] + 2_000_000 * usage["completion_tokens"])
        return answer

    with Model(reply) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 5
        del charged[:]
        (root / "contentops.yaml").write_text(low.replace("100", "9000"), "utf-8")
        (root / "content/blog.yaml").write_text(blog("two"), "utf-8")
        (change,) = planned(invoke, root, "--select", "one")["changes"]
        assert change["steps"] == ["drain"]
        invoke("apply", "--yes", "--select", "one", cwd=root, env=model.env)
    assert sum(charged) <= int(Decimal(change["money_worst"]["USD"]) * 10**12)


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


@pytest.mark.parametrize(("change", "said"), [
    ("model: huge", "the plan was made for the model `small`, and `api.model` is `huge` now"),
    ("model: small, passes: one", "the plan was made for `api.passes: staged`, and it is `one` now"),
    ("model: small, max_tokens: 900", "the plan was made for `api.max_tokens: 300`, and it is 900 now"),
])  # fmt: skip
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


def load(root: Path, text: str, environment: str = "") -> Project:
    """The project of these settings."""
    (root / "contentops.yaml").write_text(f"project: x\n{text}", encoding="utf-8")
    return load_project(root, environment=environment)


def price(number_in: int, number_out: int, currency: str = "USD") -> TokenPrice:
    """A price in millionths."""
    return TokenPrice(input=number_in, output=number_out, currency=currency)


@pytest.mark.parametrize(("text", "message"), [
    ("price: {input: 0, output: 2, currency: USD}", "`input` must be more than 0"),
    ("price: {input: -1, output: 2, currency: USD}", "`input` must be more than 0"),
    ("price: {input: 1, output: 1e9, currency: USD}", "`output` must be at most 100000000"),
    ("price: {input: .nan, output: 2, currency: USD}", "nan"),
    ("price: {input: .inf, output: 2, currency: USD}", "inf"),
    ("price: {input: cheap, output: 2, currency: USD}", "`input` must be a number"),
    ("price: {input: '1', output: 2, currency: USD}", "`input` must be a number"),
    ("price: {input: 0.12345678, output: 2, currency: USD}", "`input` has more than six decimal places: 0.12345678"),
    ("price: {input: 0.0000001, output: 2, currency: USD}", "`input` has more than six decimal places: 1e-07"),
    ("price: {input: 1, output: 2, currency: dollars}", "`currency`"),
    ("price: {input: 1, output: 2, currency: usd}", "`currency`"),
    ("price: {input: 1, output: 2}", "`price` has no `currency`"),
    ("price: {input: 1, cached: 2, output: 2, currency: USD}", "`cached` is 2, more than `input` (1)"),
    ("price: {input: 1, cached: 0.1234567, output: 2, currency: USD}", "`cached` has more than six decimal places"),
    ("price: {output: 2}", "`price` has no `input` and `currency`"),
    ("environments: {live: {price: {input: 2}}}", "`price` has no `output` and `currency`"),
    ("price: 3", "`price` must be"),
    ("price: {inputs: 1}", "unknown key `inputs`"),
])  # fmt: skip
def test_a_price_that_cannot_be_counted_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With a finding at its location."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    found = [one for one in caught.value.diagnostics() if message in one.message]
    assert found, caught.value.diagnostics()
    assert found[0].location is not None


FILM = {"logline": "A keeper leaves.", "genre": "drama", "protagonist_name": "Ann", "setting_primary": "a light"}


@pytest.mark.parametrize(("mode", "inputs", "price"), [
    ("quick", {"page_count": 90}, Price(1)), ("quick", {}, Price(1)), ("standard", {"page_count": 1}, Price(4)),
    ("standard", {"page_count": 15}, Price(4)), ("standard", {"page_count": 16}, Price(8)),
    ("standard", {"page_count": 35}, Price(12)), ("standard", {"page_count": 120}, Price(12)),
    ("premium", {"page_count": 60}, Price(20)), ("premium", {"page_count": 70}, Price(25)),
    ("premium", {"pages": "46"}, Price(20)), ("premium", {"pages": 45.5}, Price(20)),
    ("premium", {"target_pages": 10, "page_count": 20}, Price(10)), ("standard", {}, Price(12, at_most=True)),
    ("premium", {}, Price(25, at_most=True)),
    *(("standard", {"pages": odd}, Price(12, at_most=True)) for odd in (0, -4, True, "90-100", [3], None)),
])  # fmt: skip
def test_the_price_of_a_screenplay(mode: str, inputs: dict[str, Any], price: Price) -> None:
    """ceil(pages / 15) times the mode's credits, up to the mode's pages; without pages that is an upper bound."""
    assert Request(template="feature_screenplay", style="s", mode=mode, inputs=inputs).price() == price
    assert GenerationRequest(template="feature_screenplay", mode=mode, inputs=inputs).credits == price.credits


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
