"""Statements of the documentation that repeat what the program decides."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from contentops.model import Action
from contentops.pricing import CREDITS, MOST_PAGES, PAGE_INPUTS, SCREENPLAY, price_of_request
from contentops.reporting.summary import SIGNS
from contentops.schema_files import load_schema
from tests.processes import Served
from tests.running import Run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text("utf-8")


def _line(page: str, start: str) -> str:
    """The line of a page that starts so."""
    (line,) = [line for line in (DOCS / page).read_text("utf-8").splitlines() if line.startswith(start)]
    return line


def test_the_page_on_environments_names_the_keys_that_an_environment_cannot_set() -> None:
    """All keys of a project that the schema does not allow in an environment."""
    schema = load_schema("project")
    allowed = set(schema["definitions"]["environment"]["properties"]) | {"$schema"}
    named = re.findall("`(.+?)`", _line("how-to/use-environments.md", "An environment can set every key except"))
    assert sorted(named) == sorted(set(schema["properties"]) - allowed)


def test_the_page_on_plans_explains_every_sign() -> None:
    """One row for each sign that a change can have."""
    page = (DOCS / "how-to/review-a-plan.md").read_text("utf-8")
    table = page.partition("| Sign | Meaning |")[2].partition("\n\n")[0]
    shown = {sign for action, (sign, _) in SIGNS.items() if action is not Action.NONE}
    assert set(re.findall(r"^\| `(.)` \|", table, flags=re.MULTILINE)) == shown


@pytest.mark.parametrize("mode", CREDITS)
def test_the_page_on_cost_has_the_prices(mode: str) -> None:
    """The price of a mode, and its longest screenplay with that price."""
    page = (DOCS / "explanation/cost.md").read_text("utf-8")
    longest = price_of_request(SCREENPLAY, mode, {PAGE_INPUTS[0]: 10 * MOST_PAGES[mode]}).credits
    assert f"| `{mode}` | {CREDITS[mode]} | {MOST_PAGES[mode]} | {longest} |" in page
    assert all(f"`{name}`" in page for name in PAGE_INPUTS)


def test_the_readme_quotes_the_finished_text() -> None:
    """Word by word; the README fits on three screens."""
    (quoted,) = re.findall(r"^> (.+)$", README, flags=re.MULTILINE)
    assert f"\n{quoted}\n" in (ROOT / "examples/selfhosted/article.md").read_text("utf-8")
    assert len(README.splitlines()) <= 130


def test_the_documentation_can_be_read_in_an_afternoon() -> None:
    """At most 35,000 words on 40 pages, without the decisions."""
    pages = [page for page in DOCS.rglob("*.md") if "decisions" not in page.parts]
    assert len(pages) <= 40
    words = sum(len(page.read_text("utf-8").split()) for page in pages)
    assert words <= 35_000, f"{words - 35_000} words too many: say what is new, or what was there before, in fewer"


def test_the_readme_gives_a_reason_for_each_dependency() -> None:
    """Its table names what is installed, nothing else."""
    table = README.partition("## Dependencies")[2]
    named = [
        name for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE) for name in re.findall("`(.+?)`", row)
    ]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert sorted(named) == sorted(re.split("[<>=[]", one)[0].lower() for one in wanted)


def test_the_readme_shows_the_plans_of_its_project(invoke: Run, tmp_path: Path, processes: None) -> None:
    """On a server with the published prices: the first plan, and the one after a variable has changed."""
    settings, manifest = (
        f"{block}\n" for block in re.findall(r"^```yaml\n(.+?)^```", README, flags=re.MULTILINE | re.DOTALL)
    )
    shown = README.partition("```text\n")[2].partition("```")[0]
    (tmp_path / "content").mkdir()
    (tmp_path / "content/articles.yaml").write_text(manifest)
    with Served(tmp_path / "serve.db") as served:
        settings += f"api: {{base_url: '{served.base_url}', requests_per_minute: 0}}\n"
        (tmp_path / "contentops.yaml").write_text(settings)
        env = {"WRITERZROOM_API_KEY": "wrk_example"}
        assert re.findall(r"`(Plan: .+?)`", README)[0] in invoke("plan").stdout
        assert invoke("apply", "--yes", env=env).code == 0
        (tmp_path / "contentops.yaml").write_text(settings.replace("2026", "2027"))
        plan = invoke("plan").stdout
    assert [line for line in shown.splitlines() if line not in plan.splitlines()] == []


def test_the_finished_text_was_written_for_its_item(invoke: Run, tmp_path: Path) -> None:
    """The digest in its front matter is the one of the item in the example."""
    shutil.copytree(ROOT / "examples/selfhosted", tmp_path / "mine")
    _, front_matter, _ = (tmp_path / "mine/article.md").read_text("utf-8").split("---\n", 2)
    made = yaml.safe_load(front_matter)["contentops"]
    assert invoke("-C", "mine", "show", made["item"], "--json").json["digest"] == made["digest"]
