"""Money and credits: what texts may cost, by settings, mode and pages, and how plans, pages and reports say it."""

import json
import os
import re
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from contentops.errors import InputError
from contentops.manifests.project import load_project
from contentops.model import Project, Request
from contentops.model.jobs import bound_words, money_words
from contentops.operations.opening import Runtime
from contentops.pricing import Price
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_markdown import plan_markdown
from contentops.schema_files import load_schema
from contentops.server.jobs import GenerationRequest
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.chat import Raw, refused, said
from tests.fakes.harness import Harness
from tests.models import MODEL_PROJECT, Model, writes
from tests.pages import Browser
from tests.plans import read_back
from tests.processes import blog, started
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
    assert ("no price set" in page, "free" in page) == (True, False)
    (root / "content" / "blog.yaml").write_text(blog("one"), "utf-8")
    with Model(metered) as model:
        ended = invoke("apply", "--yes", cwd=root, env=model.env)
    assert re.search(r"1 done\. [\d,]+ tokens \(no price set\) spent, ", ended.stdout), ended.stdout


CHECKED = "defaults: {checks: {retries: 1, excludes: [never]}}\n"


PRICED, LIMITED = MODEL_PROJECT + PRICE, MODEL_PROJECT.replace("small", "small, max_tokens: 300")


@pytest.mark.parametrize(("before", "after", "more", "why"), [
    pytest.param(PRICED, PRICED.replace("output: 2", "output: 200"), CHECKED, "it costs at most", id="price"),
    pytest.param(PRICED, PRICED.replace("USD", "EUR"), CHECKED, "EUR with every retry now, not 0.075 USD", id="currency"),
    pytest.param(PRICED, PRICED.replace("small}", "small, max_tokens: 9000}"), CHECKED, "it costs at most", id="tokens"),
    pytest.param(PRICED, PRICED, CHECKED.replace("1", "5"), "it costs at most", id="retries"),
    pytest.param(PRICED, MODEL_PROJECT, CHECKED.replace("1", "5"), "again 5 times now, not 1", id="retries-without-price"),
    pytest.param(MODEL_PROJECT, MODEL_PROJECT.replace("small", "huge"), CHECKED, "the plan was made for the model `small`, and `api.model` is `huge` now", id="model"),
    pytest.param(MODEL_PROJECT, MODEL_PROJECT.replace("small", "small, passes: one"), CHECKED, "the plan was made for `api.passes: staged`, and it is `one` now", id="passes"),
    pytest.param(LIMITED, LIMITED.replace("300", "900"), CHECKED, "the plan was made for `api.max_tokens: 300`, and it is 900 now", id="limit"),
])  # fmt: skip
@pytest.mark.parametrize("way", [["plan.json"], ["--reviewed", "plan.json"]])
def test_no_apply_spends_beyond_plan(
    project: Build, invoke: Run, before: str, after: str, more: str, why: str, way: list[str]
) -> None:
    """A text of a model costs no credits: its money, and how often it may be made, are compared too.

    Also without a price another model, or another way to ask it, is another plan.
    """
    root = shop(project, "one", settings=before, more=CHECKED)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    (root / "contentops.yaml").write_text(after, "utf-8")
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
    assert ("| | Item | Action | Cost | Output |" in markdown, "| create | at most 0.0" in markdown) == (True, True)
    with Model(metered) as model:
        ended = invoke("apply", "--yes", "--json", cwd=root, env=model.env)
    assert ended.code == 0
    Draft7Validator(load_schema("report")).validate(ended.json)
    spent = invoke("report", "--json", cwd=root).json
    assert Decimal(spent["money"]["USD"]) <= 2 * one
    assert (ended.json["run"]["money"], ended.json["run"]["tokens"]) == (spent["money"], spent["tokens"])
    parts = [Decimal(each["money"]["USD"]) for each in ended.json["run"]["outcomes"]]
    assert sum(parts) == Decimal(spent["money"]["USD"])
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
    assert spent * 3 / 2 < Decimal(planned(invoke, root)["summary"]["money_at_most"]["USD"])


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
    worst = document["summary"]["money_worst"]
    assert {name: int(Decimal(value) * 10**12) for name, value in worst.items()} == read.money_worst


def test_the_pages_say_the_money(project: Build, processes: None) -> None:
    """The plan by cause, what a button spends, and the price of another text."""
    browser = Browser(shop(project))
    page = browser.get("/plan").text
    assert '<th scope="col" class="number">Cost</th>' in page
    assert page.count("at most 0.0375 USD") >= 2
    assert "at most 0.075 USD" in page
    asked = browser.get("/confirm?action=apply&id=one").text
    assert ("Spend up to 0.0375 USD</button>" in asked, "for free" in asked) == (True, False)
    assert "at most 0.0375 USD" in browser.get("/item?id=one").text


@pytest.mark.parametrize(("old", "new"), [
    ("output: 2,", "output: 200,"), ("model: small", "model: small, max_tokens: 9000"), ("model: small", "model: huge"),
])  # fmt: skip
def test_a_button_spends_nothing_at_another_price(project: Build, processes: None, old: str, new: str) -> None:
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


def load(root: Path, text: str, environment: str = "") -> Project:
    """The project of these settings."""
    (root / "contentops.yaml").write_text(f"project: x\n{text}", encoding="utf-8")
    return load_project(root, environment=environment)


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


AGAIN = "{% for n in range(400) %}{{ ref('guide').body }} {% endfor %}"


def test_a_brief_that_got_longer_than_confirmed_is_held(project: Build, invoke: Run, processes: None) -> None:
    """A plan counts a brief that waits as one of the usual length. A dearer one waits for another yes, unpaid."""
    items = [
        {"id": "guide", "inputs": {"topic": "Tides", "target_audience": "sailors"}},
        {"id": "teaser", "inputs": {"topic": "News", "target_audience": "all", "objective": AGAIN}},
    ]
    price = "price: {currency: EUR, input: 2, output: 8}\n"
    root = project({"contentops.yaml": MODEL_PROJECT + price, "content/a.yaml": json.dumps({"items": items})})
    with Model() as model:
        ended = invoke("apply", "--yes", cwd=root, env=model.env)
        asked = len(model.prompts)
        assert "teaser  waiting: it costs at most 3.34 EUR now, not 1.16 EUR\n" in ended.stdout
        assert not (root / "out/teaser.md").exists()
        assert "Plan: 1 to create, 1 unchanged. At most 3.34 EUR." in invoke("plan", cwd=root).stdout
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    assert (root / "out/teaser.md").exists()
    assert len(model.prompts) > asked


# --- budgets in money --------------------------------------------------------------------------------------------


def with_budget(build: Build, budget: str, *items: str) -> Path:
    """A repository of a project with a model, a price and a budget."""
    root = shop(build, *(items or ("one", "two")), settings=f"{MODEL_PROJECT}{PRICE}budget: {{{budget}}}\n")
    git(root, "init", "--quiet")
    return root


def bound_of_one(invoke: Run, root: Path) -> Decimal:
    """The most that one text may cost."""
    return Decimal(planned(invoke, root)["changes"][0]["money_at_most"]["USD"])


def refusals(invoke: Run, root: Path) -> list[tuple[str, str]]:
    """What refuses the plan."""
    return [(one["guard"], one["message"]) for one in planned(invoke, root)["refusals"]]


def test_an_apply_keeps_to_its_budget(project: Build, invoke: Run, processes: None) -> None:
    """What it may cost at most counts; the sentence says what to do, and no option overrides it."""
    root = with_budget(project, "money_per_apply: 1e9")
    one = bound_of_one(invoke, root)
    assert (refusals(invoke, root), planned(invoke, root)["budget"]["money_per_apply"]) == ([], "1000000000")
    _with_limit(root, "money_per_apply", 2 * one)
    assert refusals(invoke, root) == []
    _with_limit(root, "money_per_apply", one)
    [(guard, message)] = refusals(invoke, root)
    assert guard == "budget-money"
    assert message.startswith("it costs at most 0.0")
    assert message.endswith(" USD: raise it, or apply fewer items with `--select` or `--canary`")
    with Model(metered) as model:
        for flags in ((), ("--approve-credits", "0")):
            ended = invoke("apply", "--yes", *flags, cwd=root, env=model.env)
            said = [words in ended.stderr for words in ("error[budget-money]", "if that is meant")]
            assert (ended.code, said) == (4, [True, False])
        assert not model.seen
        assert invoke("apply", "--yes", "--select", "one", cwd=root, env=model.env).code == 0
    _with_limit(root, "money_per_apply", Decimal(0))
    [(_, message)] = refusals(invoke, root)
    assert "`budget.money_per_apply` is 0.00 USD, and one text may cost 0.0" in message
    assert message.endswith(": raise it")


def test_a_month_keeps_to_its_budget(project: Build, invoke: Run, processes: None) -> None:
    """Real tokens count, not the bound; plan and status say how much is spent."""
    root = with_budget(project, "money_per_month: 1e9", "one")
    one = bound_of_one(invoke, root)
    with Model(metered) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    spent = Decimal(invoke("report", "--json", cwd=root).json["money"]["USD"])
    status = invoke("status", "--json", cwd=root).json
    assert (Decimal(status["spent"]["money"]["USD"]), status["budget"]["currency"]) == (spent, "USD")
    assert 0 < spent < one
    (root / "content/blog.yaml").write_text(blog("one", "two"))
    _with_limit(root, "money_per_month", spent + one)
    assert refusals(invoke, root) == []
    assert "Spent: 0.0" in invoke("plan", cwd=root).stdout
    _with_limit(root, "money_per_month", spent + one - Decimal("1e-9"))
    [(guard, message)] = refusals(invoke, root)
    assert guard == "budget-money-month"
    assert " are spent; `budget.money_per_month` is 0.0" in message


def test_a_month_that_cannot_be_counted_has_no_way_around_its_money(project: Build, invoke: Run) -> None:
    """No option lifts the limit, and the plan names none."""
    settings = MODEL_PROJECT.replace("base_url: local, engine: openai, model: small", "base_url: 'http://127.0.0.1:1'")
    root = project({"contentops.yaml": f"{settings}{PRICE}budget: {{money_per_month: 5}}", "content/a.yaml": blog("a")})
    env = {"CONTENTOPS_LEDGER": "postgresql://127.0.0.1:1/none"}
    found = invoke("plan", "--json", cwd=root, env=env).json
    assert [(one["guard"], one["flag"]) for one in found["refusals"]] == [("budget-money-unknown", "")]
    assert "--approve" not in invoke("plan", cwd=root, env=env).stdout


def test_money_of_another_currency_is_named_and_not_added(project: Build, invoke: Run, processes: None) -> None:
    """The price changed from one currency to another in the middle of the month."""
    root = with_budget(project, "money_per_month: 5", "one")
    with Model(metered) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    (root / "contentops.yaml").write_text((root / "contentops.yaml").read_text().replace("USD", "EUR"))
    sentence = invoke("status", cwd=root).stdout.splitlines()[-1]
    assert sentence.startswith("Spent: 0.00 EUR of 5.00 EUR of this month (")
    assert " USD, which this budget does not count." in sentence


def test_tokens_that_no_one_counted_cost_what_the_text_may_cost(project: Build, invoke: Run, processes: None) -> None:
    """A model's server that says nothing of tokens."""
    root = with_budget(project, "money_per_month: 5", "one")
    one = bound_of_one(invoke, root)
    with Model() as model:
        found = invoke("apply", "--yes", cwd=root, env=model.env)
        assert (found.code, "An unknown number of tokens spent" in found.stdout) == (0, True)
    lock = root / "contentops.lock"
    lines = [json.loads(line) for line in lock.read_text().splitlines()]
    lines[1].pop("tokens", None)
    lock.write_text("".join(f"{json.dumps(line, separators=(',', ':'), sort_keys=True)}\n" for line in lines))
    for path in (root / ".contentops").rglob("*.json"):
        path.unlink()
    (root / ".contentops/cache/cache.db").unlink(missing_ok=True)
    assert Decimal(invoke("status", "--json", cwd=root).json["spent"]["money"]["USD"]) == one


@pytest.mark.parametrize(("settings", "code"), [
    ("budget: {money_per_apply: 5}", "missing-key"), ("budget: {money_per_month: 5}", "missing-key"),
    (f"{PRICE}budget: {{money_per_month: -1}}", ""), (f"{PRICE}budget: {{money_per_month: much}}", "wrong-type"),
    (f"{PRICE}budget: {{money_per_month: 1e10}}", ""), (f"{PRICE}budget: {{currency: USD}}", "unknown-key"),
    ("environments: {live: {budget: {money_per_apply: 5}}}", "missing-key"),
])  # fmt: skip
def test_a_budget_in_money_needs_a_price_and_a_number(project: Build, invoke: Run, settings: str, code: str) -> None:
    """By name, at its line."""
    ended = invoke("plan", cwd=project({"contentops.yaml": f"{MODEL_PROJECT}{settings}\n"}))
    assert (ended.code, "contentops.yaml:" in ended.stderr, f"error[{code}" in ended.stderr) == (1, True, True)
    if code == "missing-key":
        assert "needs a price of tokens" in ended.stderr


def _stopped(root: Path, prompts: int) -> int:
    """Stop an apply with Ctrl-C while its model works on the prompt after so many; return what these have cost."""
    with Model(lambda body, number: None if number == prompts else metered(body, number)) as model:
        with started(root, "apply", "--yes", env=model.env) as apply:
            for _ in range(prompts + 2):
                model.wait("POST")
            apply.signal(signal.SIGINT)
            apply.end()
        return len(model.prompts)


def _with_limit(root: Path, name: str, amount: Decimal) -> None:
    settings = (root / "contentops.yaml").read_text().partition("budget:")[0]
    (root / "contentops.yaml").write_text(f"{settings}budget: {{{name}: {amount}}}\n")


def _spent_money(invoke: Run, root: Path) -> dict[str, Decimal]:
    """The money of the month, and the part of it that is not sure."""
    found = invoke("status", "--json", cwd=root).json["spent"]
    return {name: Decimal(found.get(name, {}).get("USD", 0)) for name in ("money", "money_unsure")}


def test_an_interrupted_apply_goes_on_inside_its_own_budget(project: Build, invoke: Run, processes: None) -> None:
    """The open job is not counted as spent and as to come."""
    root = with_budget(project, "money_per_month: 1e9", "one")
    one = bound_of_one(invoke, root)
    _with_limit(root, "money_per_month", one * Decimal("1.34"))
    _stopped(root, 3)
    assert (_spent_money(invoke, root), refusals(invoke, root)) == ({"money": one, "money_unsure": one}, [])
    assert planned(invoke, root)["changes"][0]["money_at_most"]["USD"] == str(one)
    with Model(metered) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0
    # What the calls before the stop used is known no more: at most the bound.
    assert _spent_money(invoke, root) == {"money": one, "money_unsure": one}
    assert invoke("report", "--json", cwd=root).json["tokens_unknown"] == 1


def test_collecting_a_job_that_costs_is_priced_and_guarded(project: Build, invoke: Run, processes: None) -> None:
    """Its item is gone, and its model would go on writing."""
    root = with_budget(project, "money_per_month: 1e9", "one")
    one = bound_of_one(invoke, root)
    _stopped(root, 3)
    (root / "content/blog.yaml").write_text(blog("two", "three"))
    document = planned(invoke, root)
    change = next(each for each in document["changes"] if each["id"] == "one")
    assert (change["steps"], change["money_at_most"]) == (["drain"], {"USD": str(one)})
    assert "at most 0.0" in invoke("plan", "--select", "one", cwd=root).stdout
    _with_limit(root, "money_per_apply", one / 2)
    with Model(metered) as model:
        ended = invoke("apply", "--yes", "--select", "one", cwd=root, env=model.env)
        assert (ended.code, "error[budget-money]" in ended.stderr, model.prompts) == (4, True, [])
        _with_limit(root, "money_per_month", one)
        assert invoke("plan", "--select", "one", "--json", cwd=root).json["refusals"] == []
        assert invoke("apply", "--yes", "--select", "one", cwd=root, env=model.env).code == 0
        assert model.prompts
    assert [each["id"] for each in planned(invoke, root)["changes"]] == ["three", "two"]


def test_a_job_that_two_clones_finish_counts_twice(
    project: Build, invoke: Run, processes: None, tmp_path: Path
) -> None:
    """Each clone has a bundled server of its own, which does not know what the other one wrote."""
    root = with_budget(project, "money_per_month: 1e9", "one")
    one = bound_of_one(invoke, root)
    _stopped(root, 3)
    commit(root, "Open")
    git(tmp_path, "clone", "--quiet", str(root), "clone")
    clone = tmp_path / "clone"
    with Model(metered) as model:
        ended = invoke("apply", "--yes", cwd=clone, env=model.env)
        assert ended.code == 0, ended.stderr
    found = invoke("report", "--json", cwd=clone).json
    assert (found["texts"], found["tokens_unknown"]) == (1, 1)
    sure = Decimal(found["money"]["USD"])
    assert _spent_money(invoke, clone) == {"money": one + sure, "money_unsure": one}
    assert invoke("plan", "--detailed-exitcode", cwd=clone).code == 0


def test_a_reviewed_plan_goes_on_with_no_job_of_others(project: Build, invoke: Run, processes: None) -> None:
    """Its model would write, for money that no one has seen."""
    root = with_budget(project, "money_per_month: 1e9", "one")
    (root / "content/blog.yaml").write_text(blog("one", "two"))
    assert invoke("plan", "--select", "two", "--out", "plan.json", cwd=root).code == 0
    (root / "content/blog.yaml").write_text(blog("one"))
    _stopped(root, 3)
    (root / "content/blog.yaml").write_text(blog("two"))
    with Model(metered) as model:
        ended = invoke("apply", "plan.json", "--yes", cwd=root, env=model.env)
        assert ended.code == 0, ended.stderr
    assert [each["id"] for each in planned(invoke, root)["changes"]] == ["one"]


# --- what is reported ---------------------------------------------------------------------------------------------

MICRO = 10**6


class Site:
    """A project whose server says tokens, and whose settings have a price."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refuses = False
        self.harness = Harness(root, FakeApi(duration=30, fails=lambda _: "the model refuses" * self.refuses))
        self.settings = (root / "contentops.yaml").read_text("utf-8")
        git(root, "init", "--quiet", "--initial-branch", "main")

    def make(self, *ids: str, tokens: Any = (1000, 100), price: str = "", year: int = 2026) -> None:
        """Generate the texts that are not there yet."""
        self.harness.api.habits.model = "" if tokens is None else "small"
        self.harness.api.habits.tokens = {"input": tokens[0], "output": tokens[1]} if tokens else None
        self.harness.write("contentops.yaml", self.settings + (f"price: {{{price}}}\n" if price else ""))
        self.harness.applied(*ids, year=year)

    def fail(self, *ids: str, **options: Any) -> None:
        """Try to generate a text, which fails after its model has written."""
        self.refuses = True
        self.make(*ids, **options)
        self.refuses = False


USD = "input: 0.1, output: 0.2, currency: USD"
EUR = "input: 1, output: 2, currency: EUR"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty project."""
    return Site(tmp_path)


def report(invoke: Run, site: Site, *arguments: str) -> Any:
    """What `report --json` says."""
    ended = invoke("report", *arguments, "--json", cwd=site.root)
    assert ended.code == 0, ended.stderr
    return ended.json


def test_money_is_summed_exactly_and_by_currency(site: Site, invoke: Run, processes: None) -> None:
    """Three times 0.00012 is no 0.00036000000000000003, and no currency is added to another."""
    for number, price in enumerate((USD, USD, USD, EUR)):
        site.make("a", year=2020 + number, price=price)
    found = report(invoke, site)
    assert found["tokens"] == {"input": 4000, "output": 400}
    assert found["money"] == {"EUR": "0.0012", "USD": "0.00036"}
    assert found["by"]["template"][0]["money"] == found["money"]
    text = invoke("report", cwd=site.root).stdout
    assert "Models: 4,000 tokens read and 400 written, 0.0012 EUR and 0.00036 USD.\n" in text
    [row] = report(invoke, site, "--provenance")["texts"]
    assert (row["money"], row["credits"]) == ({"EUR": "0.0012", "USD": "0.00036"}, 16)
    assert "0.0012 EUR and 0.00036 USD" in invoke("report", "--provenance", cwd=site.root).stdout
    assert "0.0012 EUR" in invoke("report", "--runs", cwd=site.root).stdout


def test_texts_without_counts_and_without_a_price_are_said(site: Site, invoke: Run, processes: None) -> None:
    """They are in no sum, and not taken for free."""
    site.make("a", price=USD)
    site.make("a", "b", "c", tokens=(), price=USD)
    site.make("a", "b", "c", "written-by-the-service", tokens=None, price=USD)
    site.make("a", "b", "c", "written-by-the-service", "d")
    found = report(invoke, site)
    assert (found["tokens_unknown"], found["unpriced"], found["money"]) == (2, 1, {"USD": "0.00012"})
    for command in (("report",), ("report", "--runs")):
        text = invoke(*command, cwd=site.root).stdout
        assert "Not in this sum: 2 texts without token counts.\n" in text
        assert "Not in the money: 1 text made without a `price` in the settings.\n" in text


def test_failed_jobs_cost_no_credits_but_money(site: Site, invoke: Run, processes: None) -> None:
    """Whether their entry is still open, in git's history alone, or in a run of this machine alone."""
    site.fail("a", price=USD)
    found = report(invoke, site)
    assert (found["texts"], found["credits"], found["failed"], found["money"]) == (0, 0, 1, {"USD": "0.00012"})
    commit(site.root, "With an open job")
    site.make("a", price=USD)
    assert report(invoke, site)["money"] == {"USD": "0.00024"}
    site.fail("a", year=2027, price=USD)
    site.make("a", year=2027, price=USD)
    found = report(invoke, site)
    assert (found["texts"], found["failed"], found["money"]) == (2, 2, {"USD": "0.00048"})
    assert "2 failed jobs among them.\n" in invoke("report", cwd=site.root).stdout
    assert report(invoke, site, "--provenance")["texts"][0]["money"] == {"USD": "0.00048"}


@pytest.mark.parametrize(("amount", "words"), [
    (0, "0.00 USD"), (1, "less than 0.000001 USD"), (499_999, "less than 0.000001 USD"), (500_000, "0.000001 USD"),
    (120 * MICRO, "0.00012 USD"), (300_000 * MICRO, "0.30 USD"), (999_999_500_000, "1.00 USD"),
    (1_005_000 * MICRO, "1.01 USD"), (1_234_567_891_000 * MICRO, "1,234,567.89 USD"),
])  # fmt: skip
def test_money_in_words(amount: int, words: str) -> None:
    """Cents, and more places only below one unit."""
    assert money_words({"USD": amount}) == words
