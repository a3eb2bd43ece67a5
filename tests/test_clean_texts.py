"""What `check` remembers: that nothing was found in a text, while text and checks are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.model import Checks, Level, Listed
from contentops.operations.opening import open_cache, open_project
from contentops.operations.texts.clean_texts import CleanTexts
from tests.fakes.sides import a_file

if TYPE_CHECKING:
    from tests.running import Build, Run

SETTINGS = "version: 1\nproject: acme\napi: {base_url: local}\ndefaults: {checks: {excludes: [lorem]}}\n"
NO_LOREM = Checks(excludes=Listed(values=("lorem",)))


def test_only_what_is_the_same_is_remembered(project: Build) -> None:
    """Another text or another rule is looked at again; links and commands are no part of what is remembered."""
    root = project({"contentops.yaml": SETTINGS})
    file, links = a_file("out/a.md"), Checks(links=Level.BLOCK)
    opened = open_project(str(root), "", ())
    with open_cache(opened, write=True) as cache:
        clean = CleanTexts(cache)
        assert not clean.is_clean(NO_LOREM, file)
        clean.add(NO_LOREM, file)
        clean.add(links, file)
        clean.keep(whole=True)
    with open_cache(opened, write=True) as cache:
        clean = CleanTexts(cache)
        assert clean.is_clean(NO_LOREM, file)
        assert clean.is_clean(Checks(excludes=NO_LOREM.excludes, commands=Listed(values=("true",)), retries=2), file)
        assert not clean.is_clean(NO_LOREM, a_file("out/a.md", body="Other.\n"))
        assert not clean.is_clean(Checks(excludes=Listed(values=("ipsum",))), file)
        assert not clean.is_clean(links, file)
        clean.keep(whole=True)


@pytest.mark.parametrize("part", [(), ("--select", "docs/a")])
def test_check_finds_what_is_new_in_texts_that_were_clean(project: Build, invoke: Run, part: tuple[str, ...]) -> None:
    """A new word, a new rule, and the old text again; a selection forgets nothing of the others."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": "Words.\n", "docs/b.md": "Words.\n"})
    assert invoke("adopt", "docs", "--yes", cwd=root).code == 0
    for _ in range(2):
        assert invoke("check", *part, cwd=root).code == 0
    with open_cache(open_project(str(root), "", ()), write=False) as cache:
        assert len((cache.get("clean-texts") or "").split()) == 1  # both files are the same bytes
    (root / "docs/a.md").write_text("lorem\n")
    assert [invoke("check", *part, cwd=root).code for _ in range(2)] == [1, 1]
    (root / "docs/a.md").write_text("Words.\n")
    assert invoke("check", *part, cwd=root).code == 0
    (root / "contentops.yaml").write_text(SETTINGS.replace("lorem", "Words"))
    assert invoke("check", *part, cwd=root).code == 1
