"""The day on which words last changed, in front matter: from jobs and git, never from a clock."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from contentops.documents.front_matter import split
from contentops.documents.preset import CHANGED_AT, uses_changed_at, with_changed_at
from tests.running import Build, Run

SETTINGS = """
version: 1
project: site
preset: hugo
api: {base_url: local, save: "off"}
defaults: {template: blog_article_generator, style: general_blog, metadata: {updated: "{{ changed_at }}"}}
"""
MANIFEST = """
items:
  - {id: one, inputs: {topic: Tides, target_audience: sailors}}
  - {id: two, inputs: {topic: Wind, target_audience: sailors}}
"""


@pytest.fixture
def site(project: Build, processes: None) -> Path:
    """A project in git whose front matter says when its words changed."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST})
    git(root, "init", "--quiet", "--initial-branch=main")
    return root


def git(root: Path, *arguments: str, at: str = "2027-01-02T12:00:00Z") -> None:
    """Run git at a stated time."""
    config = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    times = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    subprocess.run(["git", *config, *arguments], cwd=root, env={**os.environ, **times}, check=True, capture_output=True)


def day_of(root: Path, item: str = "one") -> object:
    """The day in an item's front matter."""
    return split((root / f"out/{item}.md").read_text()).front.get("lastmod")


def committed(root: Path, day: str) -> None:
    """Commit all there is, on a day."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x", at=f"{day}T12:00:00Z")


def applied(invoke: Run, root: Path) -> None:
    """Apply, and see that nothing is left to do."""
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == 0, ended.stderr
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0


def test_a_generated_text_has_the_day_of_its_job(site: Path, invoke: Run) -> None:
    """From the recorded time, so that every clone says the same, and no commit changes it; a restored file has it too."""
    applied(invoke, site)
    jobs = [json.loads(line) for line in (site / "contentops.jobs").read_text().splitlines()]
    days = {job["item"]: job["done"][:10] for job in jobs if "done" in job}
    assert (day_of(site), day_of(site, "two")) == (days["one"], days["two"])
    committed(site, "2027-01-02")
    assert invoke("plan", "--no-cache", "--detailed-exitcode", cwd=site).code == 0
    file = site / "out/one.md"
    before = file.read_bytes()
    file.unlink()
    applied(invoke, site)
    assert file.read_bytes() == before


def test_an_edit_has_the_day_of_its_commit(site: Path, invoke: Run, tmp_path: Path) -> None:
    """Before the commit the day stays; a commit of front matter alone does not count; a revert does."""
    applied(invoke, site)
    committed(site, "2027-01-02")
    generated, page = day_of(site), site / "out/one.md"
    page.write_text(page.read_text() + "\nWords of a person.\n")
    applied(invoke, site)
    assert day_of(site) == generated
    committed(site, "2027-02-03")
    shallow, clone = tmp_path / "shallow", tmp_path / "clone"
    for folder, flags in ((shallow, ["--depth=1"]), (clone, [])):
        git(tmp_path, "clone", "--quiet", *flags, f"file://{site}", str(folder))
    plans = [invoke("plan", "--json", "--no-cache", cwd=root).stdout for root in (site, clone)]
    assert plans[0] == plans[1] == invoke("plan", "--json", cwd=site).stdout
    # A clone without the history says nothing rather than the day of its oldest commit.
    assert invoke("plan", "--detailed-exitcode", cwd=shallow).code == 0
    applied(invoke, site)
    assert day_of(site) == "2027-02-03"
    committed(site, "2027-03-04")
    applied(invoke, site)
    assert day_of(site) == "2027-02-03"
    before = page.read_text()
    page.write_text(before.replace("a person", "another person"))
    committed(site, "2027-04-05")
    page.write_text(before)
    committed(site, "2027-05-06")
    applied(invoke, site)
    assert day_of(site) == "2027-05-06"
    # A new text has its own day again, and a day that a person wrote stays.
    assert invoke("apply", "--yes", "--replace", "one", "--on-edit", "overwrite", cwd=site).code == 0
    assert day_of(site) == split((site / "out/one.md").read_text()).provenance["generated_at"][:10]
    page.write_text(page.read_text().replace(f"lastmod: {day_of(site)}", "lastmod: 2020-01-01"))
    assert invoke("apply", "--yes", "--replace", "one", cwd=site).code == 0
    assert day_of(site) == "2020-01-01"


def test_what_is_merged_counts_from_the_merge(site: Path, invoke: Run) -> None:
    """The day is that of the line that is published, whenever a branch was written."""
    applied(invoke, site)
    committed(site, "2027-01-02")
    page = site / "out/one.md"
    git(site, "checkout", "--quiet", "-b", "edits")
    page.write_text(page.read_text() + "\nWords of a person.\n")
    committed(site, "2027-02-03")
    git(site, "checkout", "--quiet", "main")
    git(site, "merge", "--quiet", "--no-ff", "--no-edit", "edits", at="2027-03-04T12:00:00Z")
    git(site, "mv", "out/one.md", "out/first.md")
    manifest = site / "content/a.yaml"
    manifest.write_text(manifest.read_text().replace("{id: one,", "{id: one, output: out/first.md,"))
    committed(site, "2027-04-05")
    invoke("apply", "--yes", cwd=site)
    assert day_of(site, "first") == "2027-03-04"


@pytest.mark.parametrize(("item", "message"), [
    ("inputs: {topic: '{{ changed_at }}', target_audience: x}", "`changed_at` is known in `metadata` alone"),
    ("inputs: {topic: '{{ item.metadata.updated }}', target_audience: x}", "uses `changed_at` in `inputs`"),
    ("inputs: {topic: x, target_audience: x}, output: 'out/{{ item.metadata.updated }}.md'", "in `output`"),
    ("inputs: {topic: x, target_audience: x}, metadata: {year: '{{ changed_at[:4] }}'}", "nothing can be done with it"),
    ("inputs: {topic: x, target_audience: x}, metadata: {title: 'As of {{ changed_at }}'}", "in `metadata.title`"),
    ("vars: {day: '{{ changed_at }}'}, inputs: {topic: x, target_audience: x}, metadata: {on: '{{ day }}'}", "alone"),
])  # fmt: skip
def test_the_day_is_for_front_matter_alone(project: Build, invoke: Run, item: str, message: str) -> None:
    """It is known when the text is, so that no request, path or title is made from it."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": f"items: [{{id: one, {item}}}]"})
    ended = invoke("validate", cwd=root)
    assert (ended.code, message in ended.stderr.replace("\n", " ")) == (1, True), ended.stderr


def test_no_macro_brings_the_day_into_a_request(project: Build, invoke: Run) -> None:
    """It is not defined there, so that nothing is paid for with it."""
    macros = "{% macro day() %}{{ changed_at }}{% endmacro %}"
    manifest = MANIFEST.replace("Tides", "'Tides {{ day() }}'")
    root = project({
        "contentops.yaml": f"{SETTINGS}macros: m.j2\n", "m.j2": macros, "content/a.yaml": manifest,
    })  # fmt: skip
    assert "`changed_at` is not defined" in invoke("validate", cwd=root).stderr


def test_a_variable_of_this_name_hides_it(project: Build, invoke: Run) -> None:
    """Whoever has one already keeps it."""
    root = project({"contentops.yaml": f"{SETTINGS}vars: {{changed_at: today}}\n", "content/a.yaml": MANIFEST})
    assert "updated: today" in invoke("show", "one", cwd=root).stdout


def test_the_day_comes_into_values_of_every_shape() -> None:
    """Without a day, the keys that use it are left out."""
    metadata = {"a": [{"b": f"on {CHANGED_AT}"}], "c": 1}
    assert with_changed_at(metadata, "2027-01-02") == {"a": [{"b": "on 2027-01-02"}], "c": 1}
    assert with_changed_at(metadata, "") == {"c": 1}
    assert (uses_changed_at(metadata), uses_changed_at({"c": 1})) == (True, False)
