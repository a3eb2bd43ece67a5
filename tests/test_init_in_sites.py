"""`contentops init` in the folder of a site, without example items, and with texts that are there."""

import re
from pathlib import Path

import pytest

from contentops.operations.init import GENERATORS
from tests.running import Build, Run

ITEM = "{{ item.id }}.md"
DATED = "{{ item.metadata.date[:10] }}-{{ item.id }}.md"
HUGO = "baseURL = 'https://example.test/'\n"


PLACES = ("README.md", "contentops/cli/commands/init.py", "docs/how-to/start-in-a-site.md", "docs/index.md")
"""The pages that list the generators, below the root of the repository."""


@pytest.mark.parametrize("place", PLACES)
def test_each_list_of_generators_is_complete(place: str) -> None:
    """Also that of the help text."""
    page = ((Path(__file__).parents[1]) / place).read_text("utf-8")
    assert [one.title for one in GENERATORS.values() if one.title not in page] == []


def _settings(root: Path) -> dict[str, str]:
    """The lines of `contentops.yaml` that the site gave it."""
    found = re.findall(r"^(manifests|output|preset): (.+)$", (root / "contentops.yaml").read_text(), re.MULTILINE)
    return {name: value.strip('[]"') for name, value in found}


def _files(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.mark.parametrize(("files", "preset", "output"), [
    ({"hugo.toml": ""}, "hugo", f"content/posts/{ITEM}"),
    ({"hugo.yaml": "contentDir: pages # here\n"}, "hugo", f"pages/posts/{ITEM}"),
    ({"hugo.json": '{\n  "contentDir": "./pages/",\n}'}, "hugo", f"pages/posts/{ITEM}"),
    ({"config/_default/hugo.toml": "", "content/blog/a.md": ""}, "hugo", f"content/blog/{ITEM}"),
    ({"config.toml": f"{HUGO}contentdir = 'text'\n"}, "hugo", f"text/posts/{ITEM}"),
    ({"astro.config.mjs": ""}, "astro", f"src/content/blog/{ITEM}"),
    ({"astro.config.ts": "", "src/content/notes/a.md": ""}, "astro", f"src/content/notes/{ITEM}"),
    ({"astro.config.ts": "", "src/content/a/b": "", "src/content/c/d": ""}, "astro", f"src/content/blog/{ITEM}"),
    ({"docusaurus.config.js": ""}, "docusaurus", f"blog/{ITEM}"),
    ({"docusaurus.config.ts": "", "docs/a.md": ""}, "docusaurus", f"docs/{ITEM}"),
    ({"mkdocs.yml": "site_name: x\n"}, "", f"docs/{ITEM}"),
    ({"mkdocs.yml": "docs_dir: 'text'\r\nx:\n  docs_dir: no\n"}, "", f"text/{ITEM}"),
    ({"mkdocs.yml": "# docs_dir: no\nx: !!python/object/apply:os.system [touch bad]\n"}, "", f"docs/{ITEM}"),
    ({"mkdocs.yml": "docs_dir: .\n"}, "", ITEM),
    ({".eleventy.js": ""}, "", f"posts/{ITEM}"),
    ({"eleventy.config.js": '// input: "no"\nexport const config = {dir: {input: "src"}}'}, "", f"src/posts/{ITEM}"),
    ({"eleventy.config.mjs": 'x.setInputDirectory("src")', "src/blog/a.md": ""}, "", f"src/blog/{ITEM}"),
    ({"_config.yml": "title: x\n"}, "jekyll", f"_posts/{DATED}"),
    ({"_config.yml": "source: site\n"}, "jekyll", f"site/_posts/{DATED}"),
    ({"pelicanconf.py": "import os\nPATH = 'text'\n"}, "pelican", f"text/{ITEM}"),
    ({"pelicanconf.py": "PATH = os.path.join('a', 'b')\n"}, "pelican", f"content/{ITEM}"),
])  # fmt: skip
def test_a_site_is_found_by_a_file(
    invoke: Run, project: Build, files: dict[str, str], preset: str, output: str
) -> None:
    """Texts go where it reads them, manifests do not, and both can be planned at once."""
    root = project(files)
    before = _files(root)
    ended = invoke("init", "--name", "x", cwd=root)
    assert ended.code == 0, ended.stderr
    stated = {"manifests": "manifests/**/*.yaml", "output": output} | ({"preset": preset} if preset else {})
    assert _settings(root) == stated
    assert f"Found {ended.stdout.partition('Found ')[2].partition(' (')[0]} (`{next(iter(files))}`): " in ended.stdout
    assert f'`output: "{output}"`' in ended.stdout
    assert {path: data for path, data in _files(root).items() if path in before} == before
    planned = invoke("plan", cwd=root)
    assert (planned.code, planned.stderr) == (0, "")
    assert output.replace("{{ item.metadata.date[:10] }}", "2026-01-01").replace("{{ item.id }}", "what-we-do") in (
        planned.stdout
    )


def test_several_sites_are_a_question(invoke: Run, project: Build) -> None:
    """Nothing is written, and each answer works."""
    root = project({"hugo.toml": "", "mkdocs.yml": ""})
    ended = invoke("init", cwd=root)
    assert ended.code == 64
    assert ended.stderr == (
        "error[which-site]: this folder looks like a site of Hugo (`hugo.toml`) and MkDocs (`mkdocs.yml`)\n"
        "hint: nothing was written; say which site it is: `--preset hugo`, `--preset mkdocs`, `--preset none`\n"
    )
    assert _files(root).keys() == {"hugo.toml", "mkdocs.yml"}
    assert invoke("init", "--preset", "mkdocs", cwd=root).code == 0
    assert _settings(root)["output"] == f"docs/{ITEM}"


@pytest.mark.parametrize(("content", "why"), [
    (b"\0" * 10_000_000, "is larger than 256 KiB"),
    (b"docs_dir: \xff\n", "is not UTF-8"),
    ("folder", "is not a file"),
    ("link", "is a link that points outside the project"),
    (b"docs_dir: ../docs\n", "names `../docs` as the folder of its texts, which leaves its folder with `..`"),
    (b"docs_dir: /docs\n", "names `/docs` as the folder of its texts, which is absolute"),
    (b"docs_dir: .docs\n", "names `.docs` as the folder of its texts, which has a name that starts with a dot"),
])  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(invoke: Run, tmp_path: Path, content: bytes | str, why: str) -> None:
    """The file is named, nothing is written, and `--preset none` goes on."""
    file, root = tmp_path / "root/mkdocs.yml", tmp_path / "root"
    root.mkdir()
    if content == "folder":
        file.mkdir()
    elif content == "link":
        (tmp_path / "elsewhere").write_text("docs_dir: secret\n")
        file.symlink_to(tmp_path / "elsewhere")
    elif isinstance(content, bytes):
        file.write_bytes(content)
    ended = invoke("init", cwd=root)
    assert (ended.code, f"`mkdocs.yml` {why}" in ended.stderr, "`--preset none`" in ended.stderr) == (64, True, True)
    assert [path.name for path in root.iterdir()] == ["mkdocs.yml"]
    assert invoke("init", "--preset", "none", cwd=root).code == 0


def test_manifests_get_a_folder_of_their_own(invoke: Run, project: Build) -> None:
    """What lies in folders of the site stays, and is taken for no manifest; an output in the way is blocked."""
    root = project(
        {
            "hugo.toml": "",
            "manifests/deployment.yaml": "kind: Deployment\n",
            "content/posts/data.yaml": "a: 1\n",
            "content/posts/what-we-do.md": "Ours.\n",
        }
    )
    assert (invoke("init", cwd=root).code, _settings(root)["manifests"]) == (0, "contentops/**/*.yaml")
    assert invoke("apply", "--yes", cwd=root).code == 3
    assert (root / "content/posts/what-we-do.md").read_text() == "Ours.\n"
    assert (root / "content/posts/city-berlin.md").is_file()


@pytest.mark.parametrize("bare", [(), ("--bare",)])
def test_texts_of_a_new_project_in_a_site_are_drafts(invoke: Run, project: Build, bare: tuple[str, ...]) -> None:
    """Outlines are not published by surprise: of the examples, and of what a person adds beside them."""
    root = project({"hugo.toml": ""})
    ended = invoke("init", *bare, cwd=root)
    assert "Its texts are drafts. To publish them, delete `draft: true` in `manifests/articles.yaml`." in ended.stdout
    manifest = root / "manifests/articles.yaml"
    assert "draft: true # delete this line to publish\n" in manifest.read_text(), (
        "whether a site publishes it is its own"
    )
    if bare:
        item = "items: [{id: what-we-do, template: blog_article_generator, inputs: {topic: x, target_audience: y}}]"
        manifest.write_text(manifest.read_text().replace("items: []", item))
    assert invoke("apply", "--yes", cwd=root).code == 0
    text = root / "content/posts/what-we-do.md"
    assert "\ndraft: true\n" in text.read_text()
    manifest.write_text(re.sub(r" *draft: true.*\n", "", manifest.read_text()))
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert "draft:" not in text.read_text()
