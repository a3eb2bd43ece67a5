"""`show ITEM`: the brief in words; with `--as-written`, the file that an apply would write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.documents.front_matter import split
from contentops.errors import UsageError
from contentops.operations.texts.planned_file import NOT_WRITTEN, planned_file
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.test_promote import rooms

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

OUT = "out/a.md"
ITEM = blog("a") + "    metadata: {tags: [ai]}\n"
MARKED = "    approval: {required: true}\n"
SETTINGS = "project: x\napi: {base_url: local}\ndisclosure: true\n"


@pytest.fixture
def site(tmp_path: Path) -> Harness:
    """One item, generated and saved."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", ITEM)
    harness.apply()
    return harness


def test_a_new_file_is_shown_as_far_as_it_is_known(project: Build, invoke: Run) -> None:
    """With the draft mark and the disclosure; after the apply, the same front matter with title, job and time."""
    item = "{id: a, template: blog_article_generator, style: general_blog, inputs: {topic: T, target_audience: R}"
    manifest = f"items: [{item}, metadata: {{tags: [ai]}}, approval: {{required: true}}}}]\n"
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": manifest})
    ended = invoke("show", "a", "--as-written", cwd=root)
    before = split(ended.stdout)
    assert (ended.code, ended.stderr, before.body.strip()) == (0, "", NOT_WRITTEN)
    assert {"tags", "draft", "ai_disclosure", "digital_source_type"} <= before.front.keys()
    found = invoke("show", "a", "--as-written", "--json", cwd=root).json
    assert (found["output"], found["text"], found["has_body"]) == (OUT, ended.stdout, False)
    assert not (root / OUT).exists()
    assert invoke("apply", "--yes", cwd=root).code == 0
    after = split((root / OUT).read_text("utf-8"))
    assert after.front == before.front
    assert before.provenance.items() <= after.provenance.items()
    ended = invoke("show", "a", "--as-written", cwd=root)
    assert (ended.stdout, ended.stderr) == ((root / OUT).read_text("utf-8"), "nothing is planned for it\n")


@pytest.mark.parametrize("change", ["front matter", "gone", "back", "kept section"])
def test_it_is_the_file_that_apply_writes(site: Harness, change: str) -> None:
    """Byte for byte, where the text is here: an update, a restored file, a paid text, and one that a person edited."""
    if change == "front matter":
        site.edit(OUT, "title:", "mine: yes\ntitle:")
        site.write("content/blog.yaml", ITEM.replace("[ai]", "[b]"))
    elif change == "gone":
        (site.root / OUT).unlink()
    else:
        site.write("content/blog.yaml", blog("a", year=2027))
        site.apply()
        if change == "kept section":
            site.edit(OUT, "Take 1.", "My words.")
        site.write("content/blog.yaml", ITEM + ("    on_edit: merge\n" if change == "kept section" else ""))
    expected = planned_file(site.project, "a")
    assert expected.has_body
    generations = len(site.api.generations)
    site.apply()
    assert len(site.api.generations) == generations
    assert site.read(OUT) == expected.text


@pytest.mark.parametrize("is_new", [True, False])
def test_a_promoted_file_is_shown_as_it_will_be(tmp_path: Path, *, is_new: bool) -> None:
    """With the keys that a person added in the other environment."""
    staging, prod = rooms(tmp_path, "a")
    if not is_new:
        prod.apply()
        staging.write("content/b.yaml", blog("a", year=2027))
        staging.apply()
    staging.edit("staging/a.md", "title:", "mine: yes\ntitle:")
    staging.edit("staging/a.md", "## Closing", "## The end")
    expected = planned_file(prod.project, "a")
    assert (expected.path, expected.has_body) == ("live/a.md", True)
    assert results(prod.apply()) == {"a": "done"}
    assert prod.read("live/a.md") == expected.text


def test_a_file_that_no_manifest_declares_stays_as_it_is(site: Harness) -> None:
    """Nothing is planned for it."""
    site.write("content/blog.yaml", blog("b"))
    file = planned_file(site.project, "a")
    assert (file.text, file.note) == (site.read(OUT), "nothing is planned for it")
    (site.root / OUT).unlink()
    with pytest.raises(UsageError, match="the next apply does not write a file for `a`"):
        planned_file(site.project, "a")


def test_a_new_text_keeps_what_a_person_has_in_the_front_matter(site: Harness) -> None:
    """The body is not written yet, so a line stands for it."""
    site.edit(OUT, "title:", "mine: yes\ntitle:")
    site.write("content/blog.yaml", blog("a", year=2027) + "    metadata: {tags: [b]}\n")
    file = planned_file(site.project, "a")
    shown = split(file.text)
    assert (file.has_body, shown.body.strip(), shown.front) == (False, NOT_WRITTEN, {"mine": "yes", "tags": ["b"]})
    site.apply()
    assert split(site.read(OUT)).front == shown.front


def test_show_begins_with_the_brief_in_words(project: Build, invoke: Run) -> None:
    """Then comes the rest; in JSON it is a key more."""
    item = "{id: a, template: blog_article_generator, style: general_blog, mode: premium, vertical: fintech"
    inputs = "inputs: {topic: Moving house, target_audience: office managers}"
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": f"items: [{item}, {inputs}}}]\n"})
    brief = (
        "A blog article in the style general blog on Moving house for office managers in the field fintech"
        " in the mode premium."
    )
    assert invoke("show", "a", cwd=root).stdout.startswith(f"{brief}\n\nid: a\nrequest:\n")
    assert invoke("show", "a", "--json", cwd=root).json["brief"] == brief


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("b", "--as-written"), "error[unknown-item]: there is no item `b`"),
        (("plan.json", "--as-written"), "error[usage]: `--as-written` is for items, and `plan.json` is a plan file"),
    ],
)
def test_what_has_no_file_is_refused(project: Build, invoke: Run, words: tuple[str, ...], message: str) -> None:
    """By name."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": "items: []\n"})
    invoke("plan", "--out", "plan.json", cwd=root)
    ended = invoke("show", *words, cwd=root)
    assert (ended.code, ended.stderr.splitlines()[0]) == (64, message)
