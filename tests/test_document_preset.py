"""Presets say the neutral words of metadata in those of a site generator."""

import json
from pathlib import Path

import pytest

from contentops.documents.preset import NEUTRAL as NEUTRAL_KEYS
from contentops.documents.preset import PRESETS, apply_preset, backslashed, no_flags
from contentops.operations.init import GENERATORS
from tests.desired import PROJECT as LOCAL
from tests.desired import findings, lines
from tests.running import Build, Run
from tests.test_sites import SITES

ROOT = Path(__file__).parents[1]

NEUTRAL = {
    "date": "2026-03-01", "updated": "2026-04-01", "image": "a.png", "draft": True, "tags": "machine learning",
    "redirects": "/old", "order": 3, "author": "A", "custom": {"k": 1},
}  # fmt: skip


MADE: dict[str, dict[str, object]] = {
    "": NEUTRAL,
    "hugo": {
        "date": "2026-03-01", "lastmod": "2026-04-01", "images": ["a.png"], "draft": True, "tags": ["machine learning"],
        "aliases": ["/old"], "weight": 3, "author": "A", "custom": {"k": 1},
    },
    "astro": {
        "pubDate": "2026-03-01", "updatedDate": "2026-04-01", "heroImage": "a.png", "draft": True,
        "tags": ["machine learning"], "redirects": "/old", "order": 3, "author": "A", "custom": {"k": 1},
    },
    "docusaurus": {
        "date": "2026-03-01", "last_update": {"date": "2026-04-01"}, "image": "a.png", "draft": True,
        "tags": ["machine learning"], "redirects": "/old", "sidebar_position": 3, "authors": [{"name": "A"}],
        "custom": {"k": 1},
    },
    "jekyll": {
        "date": "2026-03-01", "last_modified_at": "2026-04-01", "image": "a.png", "published": False,
        "tags": ["machine learning"], "redirect_from": ["/old"], "order": 3, "author": "A", "custom": {"k": 1},
    },
    "pelican": {
        "date": "2026-03-01", "modified": "2026-04-01", "image": "a.png", "status": "draft",
        "tags": ["machine learning"], "redirects": "/old", "order": 3, "authors": ["A"], "custom": {"k": 1},
    },
}  # fmt: skip
"""What each preset makes of NEUTRAL."""


@pytest.mark.parametrize(("preset", "expected"), MADE.items(), ids=[name or "none" for name in MADE])
def test_apply_preset(preset: str, expected: dict[str, object]) -> None:
    """Each preset maps what it knows, in order, and passes the rest through."""
    front = apply_preset(preset, NEUTRAL)
    assert (front, list(front)) == (expected, list(expected))


def test_every_preset_has_all_its_parts() -> None:
    """Its row in `MADE`, its generator, a small site that a workflow builds, and its row in the guide."""
    assert {one.preset for one in GENERATORS.values()} == MADE.keys() == {"", *PRESETS}
    assert SITES.keys() == GENERATORS.keys()
    workflow, guide = (
        (ROOT / name).read_text("utf-8") for name in (".github/workflows/sites.yml", "docs/how-to/approve-texts.md")
    )
    assert [name for name in GENERATORS if name not in workflow.partition("steps:")[2]] == []
    assert [name for name in PRESETS if f"| `{name}` |" not in guide] == []


def test_own_words_win() -> None:
    """A key in the generator's own words is not replaced by its neutral form, whatever the order."""
    assert apply_preset("astro", {"date": "a", "pubDate": "b"}) == {"pubDate": "b"}
    assert apply_preset("astro", {"pubDate": "b", "date": "a"}) == {"pubDate": "b"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_draft_is_a_boolean_or_an_error(project: Build, preset: str) -> None:
    """A text would put a draft live, or hide a text: it is refused by the name of the key and of the preset."""
    name = PRESETS[preset]["draft"].name
    manifest = (
        "items:\n- id: '{{ each.id }}'\n  for_each: [{id: a, off: 'false'}, {id: b, off: false}]\n"
        "  inputs: {topic: x}\n  metadata: {draft: '{{ each.off }}'}\n"
    )
    root = project({"contentops.yaml": f"{LOCAL}preset: {preset}\n", "content/a.yaml": manifest})
    [error] = [line for line in lines(findings(root)) if line.startswith("error")]
    assert error == (
        "error[wrong-type] content/a.yaml:5:21 <'{{ each.off }}'> item `{{ each.id }}` (content/a.yaml:3:14) has a "
        f"text as `metadata.draft`, which takes a bool in the preset `{preset}` (hint: write true or false without "
        'quotes; from a data file: `{{ each.column == "true" }}`)'
    )
    assert no_flags(preset, {"draft": False, "status": "hidden"}) == ()
    assert no_flags(preset, {name: "false"}) == (() if name == "status" else (name,))


TRICK = "\\\\' + run() + '"


def test_docusaurus_gets_no_backslash(project: Build, invoke: Run) -> None:
    """It would end the string that Docusaurus makes of a title: a text's own title is changed, metadata is refused."""
    files = {
        "contentops.yaml": "project: x\napi: {base_url: local}\npreset: docusaurus\n",
        "data/rows.json": json.dumps([{"topic": TRICK}]),
        "content/a.yaml": (
            "items:\n- id: a{{ each.topic | length }}\n  for_each: data/rows.json\n  template: blog_article_generator\n"
            "  style: general_blog\n  inputs: {topic: '{{ each.topic }}', target_audience: x}\n"
        ),
    }
    root = project(files)
    assert invoke("apply", "--yes", cwd=root).code == 0
    [file] = (root / "out").glob("*.md")
    assert f'title: "{TRICK.replace(chr(92), chr(0x29F5))}"\n' in file.read_text("utf-8")
    assert "No changes" in invoke("plan", cwd=root).stdout
    (root / "content/a.yaml").write_text(
        f"{files['content/a.yaml']}  metadata: {{seo: {{a: ['{{{{ each.topic }}}}']}}}}\n"
    )
    refused = invoke("plan", cwd=root)
    assert refused.code == 1
    assert (
        "has a backslash in `metadata.seo`, which the site generator of preset `docusaurus` interprets"
        in refused.stderr
    )
    assert backslashed("hugo", {"title": TRICK}) == ()


def test_the_reference_and_the_schema_list_the_presets() -> None:
    """Both are written from the one list, so a preset that is added to it is in them."""
    from docs.generate import pages

    made = pages()
    for name, rules in PRESETS.items():
        assert set(rules) <= set(NEUTRAL_KEYS), name
        assert made["schemas/project.schema.json"].count(f'        "{name}"') == 2
        for rule in rules.values():
            assert f"`{rule.name}`" in made["docs/reference/output.md"]


@pytest.mark.parametrize(("stated", "authors"), [
    ("Jane Doe", [{"name": "Jane Doe"}]),
    ("jane-doe", ["jane-doe"]),
    (["Jane Doe", "jdoe2", {"name": "X", "url": "y"}], [{"name": "Jane Doe"}, "jdoe2", {"name": "X", "url": "y"}]),
    ({"name": "X"}, {"name": "X"}),
])  # fmt: skip
def test_authors_of_docusaurus(stated: object, authors: object) -> None:
    """A name needs no `authors.yml`; what can be a key of that file stays one."""
    assert apply_preset("docusaurus", {"author": stated}) == {"authors": authors}
