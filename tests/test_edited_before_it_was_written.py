"""A paid text that is in no file yet, and whose stored content a person has edited: the words are a person's."""

import shutil
from pathlib import Path

import pytest

from contentops.model import OnEdit
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results

THEIRS = "## Introduction\n\nWords that a person wrote in WriterzRoom.\n"


@pytest.mark.parametrize("status_body", ["text", "absent"])
def test_words_of_a_stored_content_count_as_an_edit(tmp_path: Path, status_body: str) -> None:
    """Where the cache is gone, they are fetched in place of what the job made: no later text replaces them unasked."""
    harness = Harness(tmp_path, FakeApi(duration=60, auto_save=True, status_body=status_body))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply(deadline=30)
    harness.write("out/one.md", "---\ntitle: Own\n---\nA file in the way.\n")
    assert results(harness.apply()) == {"one": "blocked"}
    (job,) = harness.state.open_jobs.values()
    made = job.body
    assert made
    shutil.rmtree(tmp_path / ".contentops/cache")
    ((content, _),) = harness.api.contents.items()
    harness.api.edit(content, THEIRS)
    (tmp_path / "out/one.md").unlink()
    charged = len(harness.api.charges)
    assert results(harness.apply()) == {"one": "done"}
    assert (harness.record("one").generated, len(harness.api.charges)) == (made, charged)
    (known,) = harness.state.jobs
    assert known.body == made
    assert THEIRS in harness.read("out/one.md")
    harness.apply()
    harness.write("content/blog.yaml", blog("one", year=2031))
    (change,) = harness.plan().changes
    assert (change.action, change.blocked) == ("blocked", "edited")
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert any(
        THEIRS in path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".md"
    )
