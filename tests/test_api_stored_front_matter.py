"""Texts out of the content store may begin with front matter, like those of jobs; and what a job's text is titled."""

import re
from pathlib import Path
from typing import Any

import pytest

from contentops.api.calls import Content, GetContent, GetStatus, JobStatus
from contentops.api.reading import read
from contentops.reporting.run import run_text
from tests.fakes.api import FakeApi, Generation
from tests.fakes.harness import Harness, blog, results

FRONT = '---\ntitle: "AI: adoption"\ndescription: d\n---\n\n## Intro\n\nText.\n'
RULES = "---\n# Only a heading\n---\nText.\n"


class Fronted(FakeApi):
    """A server whose texts carry front matter in the store as well."""

    def _written(self, job: Generation) -> tuple[str, str]:
        return job.title, f'---\ntitle: "{job.title}"\ndescription: "d"\n---\n\n{job.text}'


@pytest.mark.parametrize("body", ["---\n\nAfter a rule.\n", RULES, "---\n: : [\n---\nText.\n", "--- \nText.\n"])
def test_a_rule_at_the_beginning_is_no_front_matter(body: str) -> None:
    """What a person drew stays in the text."""
    assert read(GetContent("c"), {"title": "T", "content": body}) == Content("c", "T", body)


@pytest.mark.parametrize(("data", "title"), [
    ({"content": "# Mine\n\nText.\n"}, "Mine"), ({"content": "Text.\r\n\r\n# Mine\r\n"}, "Mine"),
    ({"content": "## Section\n"}, "Blog Article Generator"), ({"content": FRONT}, "AI: adoption"),
    ({"content": "# Mine\n", "title": "Theirs"}, "Theirs"),
    ({"content": {"title": "Theirs", "body": "# Mine\n"}}, "Theirs"), ({"content": None}, ""),
])  # fmt: skip
def test_the_title_of_a_job(data: dict[str, Any], title: str) -> None:
    """The name the server puts into the metadata is the template's: whatever the text says of itself comes first."""
    answer = read(GetStatus("j"), {"status": "completed", "metadata": {"title": "Blog Article Generator"}, **data})
    assert isinstance(answer, JobStatus)
    assert answer.title == title


@pytest.mark.parametrize(("front", "title", "said"), [
    ("title: AI: what next\ndescription: A: b", "AI: what next", {"description": "A: b"}),
    ('title: "The "new" tea"\ntags:\n  - a\n- b', 'The "new" tea', {"tags": "  - a\n- b"}),
    ("# written by a model\ntitle: 'x\n", "'x", {}),
    ("title: [x\n# why\nslug: @x\nempty:", "[x", {"slug": "@x", "empty": ""}),
    ("title: x\u0000\ud800: y", "x\ufffd: y", {}),
    ("A remark: this: is\nno front matter", "", None),
    ("\ttitle: x: y", "", None),
])  # fmt: skip
def test_front_matter_of_a_job_that_is_no_yaml(front: str, title: str, said: dict[str, str] | None) -> None:
    """Where each line could be front matter it is read by its lines; else it is a text between rules, and stays."""
    for before in ("", "\n\n", "\ufeff"):
        whole = f"{before}---\n{front}\n---\n\nText.\n"
        answer = read(GetStatus("j"), {"status": "completed", "content": whole})
        assert isinstance(answer, JobStatus)
        if said is None:
            assert answer.body == whole
        else:
            assert (answer.title, answer.front, answer.body) == (title, said, "Text.\n")


@pytest.mark.parametrize("table", ["", "[params]\n"])
def test_front_matter_of_a_job_in_toml(table: str) -> None:
    """It is read by its lines as well; what has more than keys stays in the text."""
    whole = f'+++\ntitle = "AI = new"\ntags = ["a"]\n{table}+++\n\nText.\n'
    answer = read(GetStatus("j"), {"status": "completed", "content": whole})
    assert isinstance(answer, JobStatus)
    said = ("", {}, whole) if table else ("AI = new", {"tags": '["a"]'}, "Text.\n")
    assert (answer.title, answer.front, answer.body) == said


def _body(harness: Harness) -> str:
    text = harness.read("out/one.md")
    assert len(re.findall("^---$", text, re.MULTILINE)) == 2
    return text.split("---\n", 2)[2]


@pytest.mark.parametrize(("status", "named"), [("text", True), ("text", False), ("empty", True)])
def test_texts_with_front_matter_are_written_once_and_saved_over(root: Path, status: Any, *, named: bool) -> None:
    """Fetched or told, named or not: one block of front matter in the file, one content, and later saves go on."""
    harness = Harness(root, Fronted(duration=30, status_body=status, names_content=named)).declared("one")
    assert results(harness.apply()) == {"one": "done"}
    assert "description" not in _body(harness)
    assert (len(harness.api.contents), harness.api.count("save")) == (1, 0)
    harness.edit("out/one.md", "## Closing", "## By hand")
    assert results(harness.apply()) == {"one": "done"}
    (stored,) = harness.api.contents.values()
    assert "By hand" in stored.body
    assert "description" not in stored.body
    assert harness.plan().empty


@pytest.mark.parametrize("front", ['description: "Tea: all of it"', "description: Tea: all of it"])
@pytest.mark.parametrize("status", ["text", "empty"])
def test_what_front_matter_of_a_text_said_is_told(root: Path, status: Any, front: str) -> None:
    """Its description is in no file: the run says so, unless the manifest states one of its own."""

    class Told(FakeApi):
        def _written(self, job: Generation) -> tuple[str, str]:
            return job.title, f"---\ntitle: x\n{front}\n---\n\n{job.text}"

    harness = Harness(root, Told(duration=30, status_body=status))
    stated = blog("two").removeprefix("items:\n") + "    metadata: {description: mine}\n"
    harness.write("content/blog.yaml", blog("one") + stated)
    run = harness.ran()
    assert {outcome.id: outcome.left_out for outcome in run.outcomes} == {
        "one": {"description": "Tea: all of it"},
        "two": {},
    }
    assert "Tea: all of it" not in harness.read("out/one.md")
    assert '  front matter that came with the text was left out: description: "Tea: all of it"' in run_text(run)
    assert harness.plan().empty


def test_a_body_of_a_persons_that_looks_like_front_matter(root: Path) -> None:
    """What the file says below its own front matter is saved as it is, and known for ours again."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one")
    harness.edit("out/one.md", "## Introduction", "---\nnote: mine\n---\n\n## Introduction")
    for words in ("First", "Second"):
        harness.write("out/one.md", harness.read("out/one.md") + f"\n{words}\n")
        assert results(harness.apply()) == {"one": "done"}
        (stored,) = harness.api.contents.values()
        assert "note: mine" in stored.body
        assert words in stored.body
    assert "note: mine" in harness.read("out/one.md")
