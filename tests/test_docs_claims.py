"""Statements of the documentation that repeat what the program decides."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from contentops.model import Action
from contentops.pricing import CREDITS, MOST_PAGES, PAGE_INPUTS, SCREENPLAY, price_of_request
from contentops.reporting.summary import SIGNS
from contentops.schema_files import load_schema

if TYPE_CHECKING:
    from tests.running import Run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


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


def test_the_readme_shows_the_beginning_of_the_finished_text() -> None:
    """Its front matter and at least eight lines, word by word; the README fits on three screens."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme.partition("```markdown\n")[2].partition("...\n```")[0]
    assert (ROOT / "examples/selfhosted/article.md").read_text("utf-8").startswith(shown)
    assert len(shown.rpartition("---\n")[2].strip().splitlines()) >= 8
    assert len(readme.splitlines()) < 150


def test_the_finished_text_was_written_for_its_item(invoke: Run, tmp_path: Path) -> None:
    """The digest in its front matter is the one of the item in the example."""
    shutil.copytree(ROOT / "examples/selfhosted", tmp_path / "mine")
    _, front_matter, _ = (tmp_path / "mine/article.md").read_text("utf-8").split("---\n", 2)
    made = yaml.safe_load(front_matter)["contentops"]
    assert invoke("-C", "mine", "show", made["item"], "--json").json["digest"] == made["digest"]
