"""Budgets in money: the most that a plan may cost and what this month's models cost, in the currency of the price."""

import json
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.clones import commit, git
from tests.models import MODEL_PROJECT, Model
from tests.processes import blog, started
from tests.running import Build, Run
from tests.test_money import PRICE, metered, planned, shop


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
    settings = (root / "contentops.yaml").read_text()
    (root / "contentops.yaml").write_text(settings.replace("1e9", str(2 * one)))
    assert refusals(invoke, root) == []
    (root / "contentops.yaml").write_text(settings.replace("1e9", str(one)))
    [(guard, message)] = refusals(invoke, root)
    assert guard == "budget-money"
    assert message.startswith("it costs at most 0.0")
    assert message.endswith(" USD: raise it, or apply fewer items with `--select` or `--canary`")
    with Model(metered) as model:
        for flags in ((), ("--approve-credits", "0")):
            ended = invoke("apply", "--yes", *flags, cwd=root, env=model.env)
            assert (ended.code, "error[budget-money]" in ended.stderr, "if that is meant" in ended.stderr) == (
                4,
                True,
                False,
            )
        assert not model.seen
        assert invoke("apply", "--yes", "--select", "one", cwd=root, env=model.env).code == 0
    (root / "contentops.yaml").write_text(settings.replace("1e9", "0"))
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
    settings = (root / "contentops.yaml").read_text()
    (root / "contentops.yaml").write_text(settings.replace("1e9", str(spent + one)))
    assert refusals(invoke, root) == []
    assert "Spent: 0.0" in invoke("plan", cwd=root).stdout
    (root / "contentops.yaml").write_text(settings.replace("1e9", str(spent + one - Decimal("1e-9"))))
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
    settings = (root / "contentops.yaml").read_text()
    (root / "contentops.yaml").write_text(settings.replace("USD", "EUR"))
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
    root = project({"contentops.yaml": f"{MODEL_PROJECT}{settings}\n"})
    ended = invoke("plan", cwd=root)
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


def test_a_job_that_was_stopped_and_finished_elsewhere_counts_twice(
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


def test_a_reviewed_plan_goes_on_with_no_job_that_it_does_not_name(
    project: Build, invoke: Run, processes: None
) -> None:
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
