"""The static export: the same pages as files, whatever the ids, in a folder that is ours."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from contentops.pages.export import file_name
from tests.clones import git
from tests.fakes.harness import blog
from tests.pages import FILES
from tests.review_project import in_every_state
from tests.running import Build, Run
from tests.test_spend import two_environments

DECLARED = ["a/b..c", "A/d", "a-b", "\u00fcber", "con", "index", "a.html"]


class Links(HTMLParser):
    """Collects what a page links to, and its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.to: set[str] = set()
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.to |= {value or "" for name, value in attrs if name in {"href", "src", "action"}}


def exported(folder: Path) -> set[str]:
    """The names of the files in a folder, each without script and form, and with links to these files alone."""
    names = {path.name for path in folder.iterdir()}
    for path in folder.glob("*.html"):
        page = Links(path.read_text("utf-8"))
        assert not page.elements & {"form", "script", "button", "input", "textarea", "iframe"}, path
        local = {link.partition("#")[0] for link in page.to if not link.startswith(("https://", "http://", "mailto:"))}
        assert local - {""} <= names, path
    return names


@pytest.mark.parametrize(
    "item", ["../../etc/passwd", "a\x00b", "CON", "..", ".", "", "\ud800", "a" * 5_000, "<x>", "a\nb"]
)
def test_a_file_name_is_safe_whatever_the_id(item: str) -> None:
    """Only small letters, digits and dashes, not long, and never the name of a file of another kind."""
    assert re.fullmatch(r"item-[a-z0-9-]+\.html", name := file_name("item", {"id": item}))
    assert len(name) < 100


def test_every_link_of_a_page_leads_to_another(project: Build, invoke: Run, tmp_path: Path, processes: None) -> None:
    """Relative links only, no script, no form, nothing out of the folder; many items are several pages."""
    ids = [*DECLARED, *(f"many-{number}" for number in range(60))]
    items = "".join(
        f"  - {{id: {(name := json.dumps(id_))}, inputs: {{topic: {name}, target_audience: p}}}}\n" for id_ in ids
    )
    defaults = 'defaults: {template: blog_article_generator, style: general_blog, output: "out/{{ item.id | slugify }}-x.md"}\n'
    files = {**FILES, "content/blog.yaml": f"{defaults}items:\n{items}"}
    ended = invoke("review", "--out", "public", cwd=project(files))
    assert ended.code == 0, ended.stderr
    names = exported(tmp_path / "public")
    assert {"index.html", "items.html", "items-2.html", "plan.html", "spend.html", "style.css"} <= names
    assert sum(name.startswith("item-") for name in names) == len(ids)


def test_a_folder_of_others_is_refused(project: Build, invoke: Run, processes: None) -> None:
    """Nothing is written, and nothing removed."""
    root = project({**FILES, "docs/index.html": "theirs"})
    for name in ("docs", ".", "contentops.yaml"):
        refused = invoke("review", "--out", name, cwd=root)
        assert (refused.code, "Traceback" in refused.stderr) == (1, False), refused.stderr
    assert (root / "docs" / "index.html").read_text("utf-8") == "theirs"


def test_an_export_replaces_an_earlier_one_and_no_other_file(project: Build, invoke: Run, processes: None) -> None:
    """Also one that was stopped on the way; pages of items that are gone go with it."""
    root = project(FILES)
    public = root / "public"
    assert invoke("review", "--out", "public", cwd=root).code == 0
    before = {path.name: path.read_bytes() for path in public.iterdir()}
    gone = next(name for name in before if name.startswith("item-"))
    listed = (public / "contentops-review.txt").read_text("utf-8")
    (public / "contentops-review.txt").write_text(f"{listed}item-old.html\n", "utf-8")
    (public / "item-old.html").write_text("old", "utf-8")
    (public / "index.html").unlink()
    (public / gone).write_text("cut o", "utf-8")
    assert invoke("review", "--out", "public", cwd=root).code == 0
    assert {path.name for path in public.iterdir()} == before.keys()
    assert (public / gone).read_bytes() != b"cut o"
    (public / "mine.html").write_text("mine", "utf-8")
    refused = invoke("review", "--out", "public", cwd=root)
    assert (refused.code, "such as `mine.html`" in refused.stderr) == (1, True)
    assert {path.name for path in public.iterdir()} == {*before, "mine.html"}


def test_a_plan_is_one_document(project: Build, invoke: Run) -> None:
    """Nothing is loaded and nothing linked to; its policy allows its own stylesheet alone."""
    root = project(FILES)
    ended = invoke("plan", "--format", "html", cwd=root)
    assert ended.code == 0
    page = Links(ended.stdout)
    assert page.to <= {"#main", "#choices"}
    assert not page.elements & {"form", "script", "link", "img"}
    style = ended.stdout.partition("<style>")[2].partition("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{allowed}'" in ended.stdout
    assert ended.stdout.startswith("<!doctype html>")
    assert '<code dir="auto">guide</code>' in ended.stdout
    assert invoke("plan", "--format", "html", "--json", cwd=root).code == 64


def test_a_project_in_every_state_has_no_form_and_asks_no_server(tmp_path: Path, invoke: Run, processes: None) -> None:
    """Pages of what waits, is blocked, unknown, edited and gone: without buttons, and every link leads to a file."""
    root = tmp_path / "project"
    in_every_state(root, 40)
    ended = invoke("review", "--out", "public", cwd=root)
    assert ended.code == 0, ended.stderr
    assert any(name.endswith(("-changes.html", "-text.html")) for name in exported(root / "public"))


def test_what_was_spent_is_a_page(tmp_path: Path, invoke: Run, processes: None) -> None:
    """Of all environments, with the month's budget and the money of each; what files say is text, whatever it is."""
    harness, staging = two_environments(tmp_path, "a")
    git(tmp_path, "init", "--quiet")
    harness.api.habits.tokens = {"input": 1000, "output": 100}
    harness.edit("contentops.yaml", "environments:", "budget: {credits_per_month: 90}\nenvironments:")
    evil = "<script>x</script>"
    price = "price: {input: 1, output: 2, currency: EUR}"
    harness.write("contentops.yaml", harness.read("contentops.yaml") + f"\n{price}\n")
    harness.write("content/more.yaml", blog("b").replace("    inputs", f"    tags: ['{evil}']\n    inputs"))
    harness.apply()
    staging.write("content/blog.yaml", blog("a", "b", "c"))
    (tmp_path / "content/more.yaml").unlink()
    staging.apply()
    ended = invoke("review", "--out", "public", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    page = (tmp_path / "public/spend.html").read_text("utf-8")
    assert evil not in page
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "12 credits, 0.0024 EUR for 3 texts in 2 environments." in words
    assert "Environment Texts Credits Money default 2 8 0.0012 EUR staging 1 4 0.0012 EUR" in words
