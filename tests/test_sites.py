"""Site generators build what is written: one small site each, of items whose words are all that a generator may obey.

Hugo, Jekyll, MkDocs and Pelican run where they are installed, and what is missing is skipped by its name. Eleventy, Astro
and Docusaurus come from npm: they run where CONTENTOPS_TEST_SITES names a folder with their `node_modules`, and then a
generator that is missing is a failure.
"""

import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from docs import build_site as site
from docs.generate import site_pages
from tests.running import Build, Run

FOLDER = os.environ.get("CONTENTOPS_TEST_SITES")
MODULES = Path(FOLDER or "/nowhere") / "node_modules"

HOSTILE = {
    "liquid": "{% raw %} {{ page.secret }} {% endraw %}", "unclosed": "{% for x in {{ y",
    "shortcode": "{{< youtube x >}} {{% y %}} {{-z-}}", "html": "<script>alert(1)</script> <b>bold",
    "comment": "<!-- gone --> &lt; &amp; <![CDATA[ x ]]>", "jsx": "<Foo bar={1}> {1 + } import x from 'y'",
    "tilde": "~one~ ~~two~~ ~~~", "rules": "--- *** === +++", "quotes": "\"double\" 'single': colon # hash \\",
    "yaml": "- a: [b, {c: d}] & *e !f | > % @ `g`", "punctuation": "???", "scripts": "日本語 – «ü» 👩\u200d💻 Qui\u202f?",
    "math": "$$x^2$$ \\(y\\) \\[z\\]", "markdown": "# *h* _i_ [l](javascript:x) ![m](n) | t |",
    "notes": "!!! note ::: tip %%x%%", "engines": "<%= x %> <?php y ?> #{z} ${w}",
}  # fmt: skip
"""What a topic, a reader and a point may hold, by the item it is in."""
SEEN = {
    **{name: HOSTILE[name] for name in ("liquid", "unclosed", "html", "tilde", "punctuation")}, "math": "$$x^2$$",
    "shortcode": "{{< youtube x >}} {{% y %}}", "comment": "&lt; &amp;", "jsx": "<Foo bar={1}> {1 + }",
    "engines": "#{z} ${w}",
}  # fmt: skip
"""What a reader of the page sees of it: all but what typography changes."""
MANIFEST = """\
defaults: {template: blog_article_generator, style: general_blog}
items:
  - id: "{{ each.id }}"
    for_each: data/words.json
    inputs: {topic: "{{ each.words }}", target_audience: "{{ each.words }}", key_points: ["{{ each.words }}", "{{ each.words }}"]}
    metadata: {date: "2026-03-01", description: "{{ each.about }}", tags: ["{{ each.about }}"]}
  - id: hidden
    inputs: {topic: Not yet, target_audience: no one}
    metadata: {date: "2026-03-01", draft: true}
  - id: waiting
    inputs: {topic: Not read yet, target_audience: no one}
    metadata: {date: "2026-03-01"}
    approval: required
"""


@dataclass(frozen=True)
class Site:
    """A generator: what it is started by, where its pages lie, and the least that it builds a site of."""

    command: tuple[str, ...]
    output: str
    files: Mapping[str, str]
    pages: str
    preset: str = ""
    hides_drafts: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


LIQUID = "<title>{{ page.title | escape }}</title>\n<main>{{ content }}</main>\n"
SITES = {
    "hugo": Site(
        ("hugo", "--quiet"),
        "content/posts/{{ item.id }}.md",
        {
            "hugo.toml": 'baseURL = "https://example.test/"\n[markup.goldmark.renderer]\nunsafe = true\n',
            "layouts/_default/single.html": "<title>{{ .Title }}</title>\n<main>{{ .Content }}</main>\n",
        },
        "public/posts/*/index.html",
        "hugo",
        hides_drafts=True,
    ),
    "jekyll": Site(
        ("jekyll", "build", "--source", "site", "--destination", "built"),
        "site/_posts/2026-03-01-{{ item.id }}.md",
        {
            "site/_config.yml": "permalink: /:title/\ndefaults: [{scope: {path: ''}, values: {layout: default}}]\n",
            "site/_layouts/default.html": LIQUID,
        },
        "built/*/index.html",
        "jekyll",
        hides_drafts=True,
    ),
    "mkdocs": Site(
        ("mkdocs", "build", "--strict", "--quiet", "--site-dir", "built"),
        "docs/{{ item.id }}.md",
        {
            "mkdocs.yml": "site_name: Words\nsite_url: https://example.test/\ntheme: {name: null, custom_dir: theme}\n",
            "theme/main.html": "<title>{{ page.title | e }}</title>\n<main>{{ page.content }}</main>\n",
            "docs/index.md": "# Words\n",
        },
        "built/*/index.html",
    ),
    "pelican": Site(
        ("pelican", "content", "--settings", "settings.py", "--output", "built", "--fatal", "errors"),
        "content/posts/{{ item.id }}.md",
        {
            "settings.py": (
                'PLUGINS = ["pelican.plugins.yaml_metadata"]\nTIMEZONE = "UTC"\nSLUGIFY_SOURCE = "basename"\n'
                'ARTICLE_SAVE_AS = "{slug}/index.html"\nTHEME = "theme"\nDIRECT_TEMPLATES = []\nTAG_SAVE_AS = ""\n'
                'AUTHOR_SAVE_AS = ""\nFEED_ALL_ATOM = None\nCATEGORY_FEED_ATOM = None\n'
            ),
            "theme/static/.keep": "",
            "theme/templates/category.html": "",
            "theme/templates/article.html": (
                "<title>{{ article.title | striptags }}</title>\n<main>{{ article.content }}</main>\n"
            ),
        },
        "built/*/index.html",
        "pelican",
        hides_drafts=True,
    ),
    "eleventy": Site(
        ("eleventy", "--input=site", "--output=built", "--quiet"),
        "site/posts/{{ item.id }}.md",
        {
            "site/posts/posts.json": '{"layout": "page.liquid"}',
            "site/_includes/page.liquid": LIQUID.replace("page.title", "title"),
        },
        "built/posts/*/index.html",
    ),
    "astro": Site(
        ("astro", "build", "--silent"),
        "src/content/posts/{{ item.id }}.md",
        {
            "package.json": '{"type": "module"}',
            "astro.config.mjs": 'export default { outDir: "./built" };\n',
            "src/content.config.mjs": (
                'import { defineCollection, z } from "astro:content";\nimport { glob } from "astro/loaders";\n'
                "const schema = z.object({ title: z.string(), pubDate: z.coerce.date(), draft: z.boolean().optional(),"
                " tags: z.array(z.string()).optional() });\n"
                'const loader = glob({ pattern: "*.md", base: "./src/content/posts" });\n'
                "export const collections = { posts: defineCollection({ loader, schema }) };\n"
            ),
            "src/pages/[id].astro": (
                '---\nimport { getCollection, render } from "astro:content";\n'
                "export async function getStaticPaths() {\n"
                '  const posts = await getCollection("posts", ({ data }) => !data.draft);\n'
                "  return posts.map((post) => ({ params: { id: post.id }, props: { post } }));\n}\n"
                "const { post } = Astro.props;\nconst { Content } = await render(post);\n---\n"
                "<title>{post.data.title}</title>\n<main><Content /></main>\n"
            ),
        },
        "built/*/index.html",
        "astro",
        hides_drafts=True,
        environment={"ASTRO_TELEMETRY_DISABLED": "1"},
    ),
    "docusaurus": Site(
        ("docusaurus", "build", "--out-dir", "built"),
        "docs/{{ item.id }}.md",
        {
            "package.json": "{}",
            "docusaurus.config.js": (
                'module.exports = { title: "Words", url: "https://example.test", baseUrl: "/",\n'
                '  onBrokenLinks: "throw",\n  presets: [["classic", { blog: false, docs: { routeBasePath: "/" } }]] };\n'
            ),
            "src/pages/index.md": "# Words\n",
        },
        "built/*/index.html",
        "docusaurus",
        hides_drafts=True,
        environment={"NODE_ENV": "production", "DO_NOT_TRACK": "1"},
    ),
}


STARTED = {
    "hugo": replace(SITES["hugo"], output="content/posts/"),
    "jekyll": Site(
        ("jekyll", "build"),
        "_posts/2026-01-01-",
        {
            "_config.yml": "permalink: /:title/\ndefaults: [{scope: {path: ''}, values: {layout: default}}]\n"
            'exclude: [.contentops, "contentops*", manifests]\n',
            "_layouts/default.html": LIQUID,
        },
        "_site/*/index.html",
    ),
    "mkdocs": Site(
        ("mkdocs", "build", "--strict", "--quiet"),
        "pages/",
        {
            **{name: SITES["mkdocs"].files[name] for name in ("theme/main.html",)},
            "mkdocs.yml": SITES["mkdocs"].files["mkdocs.yml"] + "docs_dir: pages # not docs\n",
            "pages/index.md": "# Words\n",
        },
        "site/*/index.html",
    ),
    "pelican": Site(
        ("pelican", "--settings", "pelicanconf.py", "--fatal", "errors"),
        "content/",
        {
            **{name: text for name, text in SITES["pelican"].files.items() if name != "settings.py"},
            "pelicanconf.py": 'PATH = "content"\n' + SITES["pelican"].files["settings.py"],
        },
        "output/*/index.html",
    ),
    "eleventy": Site(
        ("eleventy", "--quiet"),
        "posts/",
        {
            "eleventy.config.mjs": 'export default function () { return { dir: { output: "_site" } }; }\n',
            "posts/posts.json": '{"layout": "page.liquid"}',
            "_includes/page.liquid": SITES["eleventy"].files["site/_includes/page.liquid"],
        },
        "_site/posts/*/index.html",
    ),
    "astro": Site(
        SITES["astro"].command,
        "src/content/posts/",
        # With the schema of Astro's own template for blogs.
        {
            name: text.replace("title: z.string(),", "title: z.string(), description: z.string(),")
            for name, text in SITES["astro"].files.items()
        }
        | {"src/content/posts/.keep": ""},
        "built/*/index.html",
        environment=SITES["astro"].environment,
    ),
    "docusaurus": Site(
        SITES["docusaurus"].command,
        "blog/",
        {
            "package.json": "{}",
            "docusaurus.config.js": (
                'module.exports = { title: "Words", url: "https://example.test", baseUrl: "/",\n'
                '  presets: [["classic", { blog: {}, docs: false }]] };\n'
            ),
            "src/pages/index.md": "# Words\n",
        },
        "built/blog/*/index.html",
        environment=SITES["docusaurus"].environment,
    ),
}
"""Sites as their generators set them up, and where `init` is to put texts."""


def _tool(name: str) -> str:
    """Where the generator is; skips the test by its name where it is not."""
    found = shutil.which(name) or shutil.which(name, path=MODULES / ".bin")
    if found is None:
        (pytest.fail if FOLDER else pytest.skip)(f"{name} is not installed")
    return found


def _applied(project: Build, invoke: Run, site: Site) -> Path:
    """The generator's project with every item's file in it, made by the embedded server."""
    settings = f"version: 1\nproject: words\noutput: {json.dumps(site.output)}\napi: {{base_url: local}}\n"
    settings += f"preset: {site.preset}\n" if site.preset else ""
    # The preset for Docusaurus refuses backslashes in metadata.
    words = [{"id": name, "words": said, "about": said.replace("\\", "")} for name, said in HOSTILE.items()]
    files = {"contentops.yaml": settings, "data/words.json": json.dumps(words), "content/items.yaml": MANIFEST}
    root = project({**files, **site.files})
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == 0, ended.stderr
    assert "No changes" in invoke("plan", cwd=root).stdout
    return root


def _pages(root: Path, site: Site, tool: str) -> dict[str, str]:
    """The pages that the generator builds, by the name of their folder."""
    if not shutil.which(site.command[0]) and not (root / "node_modules").exists():
        (root / "node_modules").symlink_to(MODULES)
    ended = subprocess.run(
        [tool, *site.command[1:]], cwd=root, env={**os.environ, **site.environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {page.parent.name: page.read_text("utf-8") for page in root.glob(site.pages)}


def _main(page: str) -> str:
    """The part of a page that the generator made of a text."""
    found = re.search(r"<main\b.*</main>", page, re.DOTALL)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("name", SITES)
def test_a_site_is_built_of_whatever_an_item_says(project: Build, invoke: Run, name: str) -> None:
    """Every item has its page, a draft and a text that waits for approval have none, and what was typed is read there and is not obeyed."""
    site, tool = SITES[name], _tool(name)
    root = _applied(project, invoke, site)
    pages = _pages(root, site, tool)
    assert HOSTILE.keys() <= pages.keys()
    assert [draft in pages for draft in ("hidden", "waiting")] == [not site.hides_drafts] * 2
    for item in HOSTILE:
        live = _main(pages[item])
        assert not re.search(r'<script>alert|<b>bold|<Foo|<del>|>l</a>|alt="m"|<!-- gone|<\?php', live), item
        read = " ".join(html.unescape(re.sub(r"<[^>]+>", "", live)).split())
        assert read.count(SEEN.get(item, "")) >= 3, (item, read)


@pytest.mark.parametrize("name", STARTED)
def test_a_project_that_init_starts_in_a_site_is_built_by_it(project: Build, invoke: Run, name: str) -> None:
    """`init` finds the site; its texts are drafts at first, then have pages, and nothing else of the project has one."""
    site, tool = STARTED[name], _tool(name)
    root = project(site.files)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    started = invoke("init", cwd=root)
    assert started.code == 0, started.stderr
    assert f'output: "{site.output}{{{{ item.id }}}}.md"' in (root / "contentops.yaml").read_text().replace(
        "{{ item.metadata.date[:10] }}", "2026-01-01"
    )
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert "No changes" in invoke("plan", cwd=root).stdout
    assert (root / f"{site.output}what-we-do.md").is_file()
    texts = {"what-we-do", "getting-started", "city-berlin", "city-lisbon"}
    if SITES[name].hides_drafts:
        assert not texts & _pages(root, site, tool).keys()
    manifest = root / "manifests/articles.yaml"
    manifest.write_text(re.sub(r"\n *draft: true.*", "", manifest.read_text()))
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert texts <= _pages(root, site, tool).keys()
    built = root / site.pages.split("/")[0]
    assert [path for path in built.rglob("*") if re.match(r"contentops|manifests|.*\.(ya?ml|csv)$", path.name)] == []
    assert {path: path.read_bytes() for path in before} == before


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
@pytest.mark.parametrize(("link", "said"), [
    ("one.md#say-it-with---all", ""), ("one.md#say-it", "anchor does not exist"), ("#gone", "anchor does not exist"),
    ("two.md", "docs/index.md: there is no two.md"), ("../gone.py", "docs/index.md: there is no ../gone.py"),
])  # fmt: skip
def test_a_link_that_leads_nowhere_fails(pages: Path, link: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The page and the target are named, without a traceback."""
    with (pages / "index.md").open("a") as index:
        index.write(f"\nSee [`it`]({link}).\n")
    code = site.main(pages.parent / "site", pages)
    printed = capfd.readouterr().err
    assert (code, said in printed, "Traceback" in printed) == (int(bool(said)), True, False), printed
    (pages / "alone.md").write_text("# One that no one would find\n")
    assert "docs/index.md does not list alone.md" in site.prepare(pages, pages.parent / "copy")


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
