"""`plan --changed-from REF --format paths`: the outputs whose words changed, for what is told of them."""

from pathlib import Path

import pytest

from tests.clones import commit, git
from tests.running import Build, Run

FILES = {
    "contentops.yaml": """\
        version: 1
        project: acme
        api: {base_url: local}
        defaults: {template: blog_article_generator, style: general_blog}
        """,
    "content/a.yaml": """\
        items:
          - {id: guide, inputs: {topic: A guide, target_audience: readers}}
          - {id: story, inputs: {topic: A story, target_audience: readers}}
          - {id: news, inputs: {topic: The news, target_audience: readers}}
        """,
}


@pytest.fixture
def root(project: Build, invoke: Run, processes: None) -> Path:
    """Three texts in a repository."""
    made = project(FILES)
    git(made, "init", "--quiet", "--initial-branch", "main")
    assert invoke("apply", "--yes", cwd=made).code == 0
    commit(made)
    return made


def test_only_changed_words_are_listed(root: Path, invoke: Run) -> None:
    """An edit, a new title, a new text and a new path count; front matter, a save and what is gone do not."""
    paths = ("plan", "--changed-from", "HEAD", "--format", "paths")
    assert invoke(*paths, cwd=root).stdout == ""
    guide, story = root / "out/guide.md", root / "out/story.md"
    guide.write_text(guide.read_text() + "\nMy words.\n")
    story.write_text(story.read_text().replace("---\n", "---\ntags: [new]\n", 1))
    assert invoke(*paths, cwd=root).stdout == "out/guide.md\n"
    story.write_text(story.read_text().replace("title: ", "title: New ", 1))
    (root / "out/news.md").unlink()
    assert invoke(*paths, cwd=root).stdout == "out/guide.md\nout/story.md\n"
    commit(root)
    assert invoke(*paths, cwd=root).stdout == ""
    assert (
        invoke("plan", "--changed-from", "HEAD~1", "--format", "paths", cwd=root).stdout
        == "out/guide.md\nout/story.md\n"
    )
    guide.write_text("---\ntitle: [\n---\n\x00")
    assert invoke(*paths, cwd=root).code == 0


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("--format", "paths"), 64, "needs `--changed-from REF`"),
    (("--format", "paths", "--changed-from", "HEAD", "--select", "guide"), 64, "leave out `--select`"),
    (("--format", "paths", "--changed-from", "nowhere"), 64, "nowhere"),
])  # fmt: skip
def test_mistakes_are_named(root: Path, invoke: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    """No plan is made, so that nothing else can be asked for."""
    ended = invoke("plan", *arguments, cwd=root)
    assert (ended.code, words in ended.stderr) == (code, True)
