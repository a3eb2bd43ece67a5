"""By which causes the changes of a plan are grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.operations import plan as operation
from contentops.operations.opening import open_project
from contentops.planning.sides import Choice
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import cause_groups

if TYPE_CHECKING:
    from tests.running import Build, Run

SETTINGS = "version: 1\nproject: acme\napi: {base_url: local}\nvars: {year: 2026}\n"
MANIFEST = """\
defaults: {template: blog_article_generator, style: general_blog, inputs: {target_audience: readers}}
items:
  - {id: one, inputs: {topic: "One in {{ year }}"}}
  - {id: two, inputs: {topic: "Two in {{ year }}"}}
  - {id: three, inputs: {topic: Three}}
  - {id: four, inputs: {topic: Four}}
  - {id: "city-{{ each.name }}", for_each: cities.csv, inputs: {topic: "{{ each.name }}"}}
"""


def test_each_change_is_under_each_of_its_causes(project: Build, invoke: Run) -> None:
    """A variable, a data file, an item's own lines, and a file that was removed; nothing is left out."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST, "content/cities.csv": "name\nbern\n"})
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "contentops.yaml").write_text(SETTINGS.replace("2026", "2027"))
    (root / "content/a.yaml").write_text(MANIFEST.replace("Three", "The third").replace("general_blog", "phd_academic"))
    (root / "content/cities.csv").write_text("name\nbern\nrome\noslo\n")
    (root / "out/four.md").unlink()
    (root / "content/b.yaml").write_text(
        "items: [{id: new, template: blog_article_generator, style: general_blog, "
        "inputs: {topic: New, target_audience: readers}}]"
    )
    plan = operation.plan(open_project(str(root), "", ()), Choice())
    groups = {group.title: [change.id for change in group.changes] for group in cause_groups(plan)}
    assert groups == {
        "default `style` in content/a.yaml:1:53": ["city-bern", "four", "one", "three", "two"],
        "new rows in `content/cities.csv`": ["city-oslo", "city-rome"],
        "var `year` in contentops.yaml:4:14": ["one", "two"],
        "new in `content/b.yaml`": ["new"],
    }
    assert {change.id for change in plan.changes} == {id_ for ids in groups.values() for id_ in ids}
    settings = SETTINGS.replace("local", "http://127.0.0.1:9").replace("2026", "2028")
    (root / "contentops.yaml").write_text(settings)
    plan = operation.plan(open_project(str(root), "", ()), Choice())
    outlines = next(group for group in cause_groups(plan) if group.title == "made by the bundled server")
    assert [change.id for change in outlines.changes] == ["city-bern", "four", "one", "three", "two"]
    text = plan_text(plan, verbose=False)
    assert "draft outline: made by the bundled server\n" in text
    assert "made by the bundled server: 5 items, 16 credits" in text
    (root / "contentops.yaml").write_text(SETTINGS.replace("2026", "2027"))
    (root / "content/a.yaml").write_text(MANIFEST.replace("Three", "The third"))
    titles = {group.title for group in cause_groups(operation.plan(open_project(str(root), "", ()), Choice()))}
    assert {"changed in `content/a.yaml`", "edited or missing"} < titles
