"""The documentation builds as a site, strictly; what is broken is named."""

from __future__ import annotations

import importlib.util
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from docs import build_site as site
from docs.generate import site_pages

if TYPE_CHECKING:
    from pathlib import Path

zensical = pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="needs zensical")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """The folder of a small documentation."""
    folder = tmp_path / "docs"
    folder.mkdir()
    shutil.copy(site.DOCS / "zensical.toml", folder)
    (folder / "index.md").write_text("# Start\n\n## How-to\n\n- [One](one.md)\n")
    (folder / "one.md").write_text("# One\n\n## Say it with `--all`\n")
    return folder


@zensical
def test_our_pages_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every page, with the generated reference and a search, and with nothing that is fetched from others."""
    assert site.main(tmp_path / "site", made=site_pages()) == 0, capfd.readouterr()
    built = {path.relative_to(tmp_path / "site").with_suffix(".md") for path in (tmp_path / "site").rglob("*.html")}
    pages = {path.relative_to(site.DOCS) for path in site.DOCS.rglob("*.md")}
    assert {page.with_name("index.md") if page.name == "README.md" else page for page in pages} <= built
    start = (tmp_path / "site/index.html").read_text("utf-8")
    assert 'href="reference/cli.html"' in start
    assert 'id="unknown-input"' in (tmp_path / "site/reference/errors.html").read_text("utf-8")
    assert "fonts.googleapis.com" not in start
    for page in (tmp_path / "site").rglob("*.html"):
        for path in re.findall(r'(?:src|srcset)="(?!https?:|data:)([^"?#]+)', page.read_text("utf-8")):
            assert (page.parent / path).is_file() or page.name == "404.html", (page.name, path)
    assert "contentops promote" in (tmp_path / "site/search.json").read_text("utf-8")


@zensical
@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("one.md#say-it-with---all", ""),
        ("one.md#say-it", "anchor does not exist"),
        ("#gone", "anchor does not exist"),
        ("two.md", "docs/index.md: there is no two.md"),
        ("../gone.py", "docs/index.md: there is no ../gone.py"),
    ],
)
def test_a_link_that_leads_nowhere_fails(pages: Path, link: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The page and the target are named, without a traceback."""
    with (pages / "index.md").open("a") as index:
        index.write(f"\nSee [`it`]({link}).\n")
    code = site.main(pages.parent / "site", pages)
    printed = capfd.readouterr().err
    assert (code, said in printed, "Traceback" in printed) == (int(bool(said)), True, False), printed


def test_a_page_that_is_not_listed_fails(pages: Path) -> None:
    """It would be found by no one."""
    (pages / "two.md").write_text("# Two\n")
    assert site.prepare(pages, pages.parent / "copy") == ["docs/index.md does not list two.md"]


def test_links_out_of_the_documentation_lead_to_the_repository(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a folder and a heading; what is code stays as it is, and the name of a file becomes a title."""
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/contentops")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    (pages.parent / "README.md").write_text("# It\n")
    text = "[a](../README.md#it) `[b](../README.md)`\n   ```yaml file=a.yaml\n[c](../README.md)\n   ```\n[d](../docs) [e](one.md)\n"
    found, missing = site.rewritten(text, pages / "one.md", pages)
    assert (missing, found.splitlines()) == (
        [],
        [
            "[a](https://github.com/acme/contentops/blob/HEAD/README.md#it) `[b](../README.md)`",
            '    ```yaml title="a.yaml"',
            " [c](../README.md)",
            "    ```",
            "[d](https://github.com/acme/contentops/tree/HEAD/docs) [e](one.md)",
        ],
    )


def test_the_order_of_pages_is_that_of_the_list(pages: Path) -> None:
    """Headings are sections, and the list of a folder is one too."""
    (pages / "index.md").write_text("# S\n\n## A\n\n### B\n\n- [x](b/x.md), [y](y.md)\n\n## C\n\n- [D](d/README.md)\n")
    (pages / "d").mkdir()
    (pages / "d/README.md").write_text("| [1](0001.md) |\n")
    assert site.navigation(pages) == [
        "index.md",
        {"A": [{"B": ["b/x.md", "y.md"]}]},
        {"C": [{"D": ["d/README.md", "d/0001.md"]}]},
    ]
