"""`show --rows`, and what a plan says of a data file that changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.running import Build, Run

FILES = {
    "contentops.yaml": "version: 1\nproject: acme\napi: {base_url: local}\n"
    "defaults: {template: blog_article_generator, style: general_blog, inputs: {target_audience: owners}}\n",
    "data/cities.csv": "city,people\nOslo,700\nBern,130\nRome,2800\n",
    "content/cities.yaml": """
items:
  - id: "{{ each.city | slug }}"
    for_each:
      data: data/cities.csv
      where: each.people | int > 200
    inputs: {topic: "{{ each.city }} for {{ each.people }}"}
""",
}


def test_rows_are_shown_as_templates_get_them(project: Build, invoke: Run) -> None:
    """After `where`; by an item or by its manifest; also as JSON."""
    root = project(FILES)
    shown = invoke("show", "--rows", "content/cities.yaml", cwd=root)
    assert shown.stdout == (
        "Item `{{ each.city | slug }}`: 2 rows\n"
        "ROW                city  people\n"
        "data/cities.csv:2  Oslo  700\n"
        "data/cities.csv:4  Rome  2800\n"
    )
    assert invoke("show", "--rows", "oslo", cwd=root).stdout == shown.stdout
    answer = json.loads(invoke("show", "--rows", "oslo", "--json", cwd=root).stdout)
    assert answer["declarations"][0]["rows"][0]["values"] == {"city": "Oslo", "people": "700"}


def test_what_has_no_rows_is_named(project: Build, invoke: Run) -> None:
    """A manifest without rows, one that cannot be read, a mistake in it, and an unknown item."""
    root = project({**FILES, "content/plain.yaml": "items: [{id: plain, inputs: {topic: x}}]\n"})
    for what, words in (
        ("plain", "has no rows"),
        ("content/plain.yaml", "has no rows"),
        ("nope.yaml", "there is no item `nope.yaml`"),
        ("osl", "did you mean `oslo`?"),
    ):
        ended = invoke("show", "--rows", what, cwd=root)
        assert ended.code != 0
        assert words in ended.stderr
    project({"content/cities.yaml": FILES["content/cities.yaml"].replace("> 200", "> size")})
    assert "uses `size` in `where`" in invoke("show", "--rows", "content/cities.yaml", cwd=root).stderr
    assert (
        "is for items"
        in invoke("show", "--rows", "contentops.yaml.json", cwd=project({"contentops.yaml.json": ""})).stderr
    )


def test_a_plan_counts_the_rows_that_differ(project: Build, invoke: Run) -> None:
    """By data file: new, gone and changed; nothing where all rows are new, and nothing where none differs."""

    def noted() -> list[str]:
        notes = json.loads(invoke("plan", "--json", cwd=root).stdout)["notes"]
        return [note["message"] for note in notes if note["kind"] == "rows-changed"]

    manifest = FILES["content/cities.yaml"].replace("where: each.people | int > 200", "limit: 9")
    root = project({**FILES, "content/cities.yaml": manifest})
    assert noted() == []
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert noted() == []
    project({"data/cities.csv": "city,people\nOslo,800\nRome,2800\nKyiv,1\nLima,2\n"})
    assert noted() == ["`data/cities.csv`: 2 rows new, 1 row gone or filtered, 1 row changed"]
    assert "`data/cities.csv`: 2 rows new, 1 row gone or filtered, 1 row changed" in invoke("plan", cwd=root).stdout


def test_a_row_of_several_items_is_gone_once(project: Build, invoke: Run) -> None:
    """It counts rows, not items."""
    manifest = FILES["content/cities.yaml"].replace("where: each.people | int > 200", "limit: 9")
    manifest = manifest.replace("each.city | slug }}", "each.city | slug }}-{{ each.tone }}").replace(
        "    inputs", "    matrix: {tone: [plain, warm]}\n    inputs"
    )
    manifest = manifest.replace("{{ each.people }}", "{{ each.people }}, {{ each.tone }}")
    root = project({**FILES, "content/cities.yaml": manifest})
    assert invoke("apply", "--yes", cwd=root).code == 0
    project({"data/cities.csv": "city,people\nOslo,700\n"})
    assert "`data/cities.csv`: 2 rows gone or filtered" in invoke("plan", cwd=root).stdout
    project({"data/cities.csv": FILES["data/cities.csv"]})
    chosen = manifest.replace("limit: 9", "where: each.people | int > 200")
    project({"content/cities.yaml": chosen})
    assert "`data/cities.csv`: 1 row gone or filtered" in invoke("plan", cwd=root).stdout
