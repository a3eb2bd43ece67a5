"""A plan as text, JSON and Markdown: what it says, and that nothing in it breaks out of its place."""

import re
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import structs

from contentops.errors import Diagnostic, Location, Severity
from contentops.model import Action, Change, ItemId, JobState, Note, Plan, Reason, Refusal, Saved
from contentops.operations import plan as operation
from contentops.operations.opening import open_project
from contentops.planning.sides import Choice
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_json import plan_pieces
from contentops.reporting.plan_markdown import marker, plan_markdown, prose
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import cause_groups
from contentops.sanitize import columns, json_text
from contentops.schema_files import load_schema
from tests.plans import (
    GENERATE,
    a_digest,
    make_change,
    make_job,
    make_plan,
    make_record,
    make_spec,
    plan_document,
    sealed,
)
from tests.running import Build, Run

CAUSE = "var `year` in contentops.yaml:12:9"


def _regenerate(number: int) -> Change:
    reason = Reason(
        kind="changed", field="inputs.topic", before=f"{number}, 2025", after=f"{number}, 2026", cause=CAUSE
    )
    return make_change(f"city-{number:02}", Action.REGENERATE, steps=GENERATE, credits=4, reasons=(reason,))


def _text(plan: Plan, *, verbose: bool = False) -> str:
    return unpainted(plan_text(plan, verbose=verbose))


def test_what_nothing_can_be_done_about_yet_says_what_is_waited_for() -> None:
    """Other processes are named only where one has an item."""
    waits = make_change("news", Action.WAIT, reasons=(Reason(kind="waits", detail="`guide` has no text yet"),))
    ending = "Nothing can be done here yet: these items wait for what is named above."
    assert _text(make_plan(waits)).endswith(ending)
    claimed = make_change("guide", Action.PENDING)
    assert _text(make_plan(claimed, waits)).endswith("until the other processes are done.")


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(width: int) -> None:
    """Paths are cut at their start; an id that is too long has a line for itself; wide characters count as two."""
    names = ("a", "b" * 18, "東京/コワーキング", "c" * 60)
    due = make_spec("a", output="out/a.md", publish_on="2026-12-24")
    changes = [make_change(name, credits=4) for name in names]
    changes[0] = structs.replace(changes[0], spec=due)
    text = unpainted(plan_text(make_plan(*changes), verbose=False, width=width))
    rows = [row for row in text.splitlines() if row.startswith("  ")]
    assert max(map(columns, rows)) <= width
    (alone,) = (row for row in rows if row.endswith("ccc"))
    assert alone == f"  + {'c' * 60}"
    assert len({columns(row.partition("create")[0]) for row in rows if row != alone}) == 1
    assert sum(".md" in row for row in rows) == 4


def test_a_plan_tells_what_why_and_how_much() -> None:
    """Every kind of change with its unusual steps, values, cause, price, note and next command."""
    plan = make_plan(
        make_change("ai-guide"),
        make_change(
            "blog", Action.BLOCKED, blocked="edited-by-hand", hint="`--on-edit keep` keeps it",
            reasons=(Reason(kind="edited", detail="`out/blog.md` was edited by hand"),),
        ),
        _regenerate(1),
        _regenerate(2),
        make_change("free", steps=GENERATE, credits=0, attempt=2),
        make_change(
            "lost", Action.RESOLVE, steps=("look up",),
            job=make_job(state=JobState.UNKNOWN, submitted_at="2026-03-01T10:00:00Z", error="reset"),
        ),
        make_change("moved", Action.MOVE, steps=("move",), source="out/old.md", target="out/new.md", renamed_from="old"),
        make_change(
            "tags", Action.UPDATE, steps=("update",), drains=(make_job(job_id="job-9"),),
            reasons=(
                Reason(kind="front-matter", field="metadata.tags", before=["a"], after=["a", "b"]),
                Reason(kind="occupied", field="output", detail="a detail"),
            ),
        ),
        environment="staging", unchanged=7,
        notes=(
            Note(kind="orphan", id=ItemId("gone"), message="`gone` is in no manifest", hint="`--prune` removes it"),
            Note(kind="other", id=ItemId("x"), message="about something"),
        ),
    )  # fmt: skip
    assert _text(plan) == (
        "Project `acme-blog`, environment `staging`, server `local`, no budget\n"
        "\n"
        "  + ai-guide  create      4 credits  out/ai-guide.md\n"
        "  ! blog      blocked                out/blog.md\n"
        "      blocked: edited by hand\n"
        "      edited: `out/blog.md` was edited by hand\n"
        "      hint: `--on-edit keep` keeps it\n"
        "  ~ city-01   regenerate  4 credits  out/city-01.md\n"
        '      inputs.topic: "1, 2025" -> "1, 2026"\n'
        "        because of var `year` in contentops.yaml:12:9\n"
        "  ~ city-02   regenerate  4 credits  out/city-02.md\n"
        '      inputs.topic: "2, 2025" -> "2, 2026"\n'
        "        because of var `year` in contentops.yaml:12:9\n"
        "  + free      create      free       out/free.md\n"
        "      steps: submit, poll, write, save (attempt 2)\n"
        "  ? lost      resolve                out/lost.md\n"
        "      steps: look up\n"
        "      open: request `request-1`, unknown since 2026-03-01T10:00:00Z: reset\n"
        "  > moved     move                   out/old.md -> out/new.md\n"
        "      renamed from `old`\n"
        "  ~ tags      update                 out/tags.md\n"
        "      steps: collect, update\n"
        '      metadata.tags: ["a"] -> ["a", "b"]\n'
        "      output: occupied (a detail)\n      collect: job `job-9`, running\n"
        "\n"
        "Causes\n"
        "  var `year` in contentops.yaml:12:9: 2 items, 8 credits\n"
        "\n"
        "Notes\n"
        "  `gone` is in no manifest\n"
        "    hint: `--prune` removes it\n"
        "  `x`: about something\n"
        "\n"
        "Plan: 2 to create, 2 to regenerate, 1 to resolve, 1 to move, 1 to update, 1 blocked, 7 unchanged. 12 credits.\n"
        "Next: `contentops apply --env staging`"
    )


def test_many_changes_notes_and_causes_are_counted_unless_verbose() -> None:
    """Of many changes for the same reason a few are shown, and the rest with its price; so notes and causes beyond ten."""
    plan = make_plan(*[_regenerate(number) for number in range(20)], make_change("z"))
    folded = _text(plan)
    assert "  ~ … 17 more to regenerate for the same reasons, 68 credits (`--verbose` lists them)\n  + z" in folded
    assert ("city-02" in folded, "city-03" in folded) == (True, False)
    assert all(f"city-{number:02}" in _text(plan, verbose=True) for number in range(20))
    notes = [Note(kind="orphan", message=f"note {number}") for number in range(15)]
    changes = [
        make_change(
            f"{cause}-{side}", Action.SAVE, steps=("save",), reasons=(Reason(kind="k", cause=f"cause {cause}"),)
        )
        for cause in range(12)
        for side in "ab"
    ]
    plan = make_plan(*changes, notes=tuple(notes))
    text = _text(plan)
    assert "  note 8\n  … 6 more of kind orphan (`--verbose` lists them)" in text
    assert "  … 2 more (`--verbose` lists them)" in text
    assert "note 14" in _text(plan, verbose=True)


def test_refusals_name_their_way_out() -> None:
    """A guard's flag ends up in the next command; a command to run first does not; without a way there is none."""
    budget = Refusal(guard="budget", message="too dear", flag="--approve-credits 8")
    ratio = Refusal(guard="ratio", message="too much", flag="--approve-changes")
    server = Refusal(guard="server", message="another server", flag="contentops state mv --server a b")
    stale = Refusal(guard="stale", message="too old")
    change = make_change()
    assert _text(make_plan(change, refusals=(budget, ratio))).endswith(
        "apply would refuse: too dear (to continue anyway: `--approve-credits 8`)\n"
        "apply would refuse: too much (to continue anyway: `--approve-changes`)\n"
        "Next, if all of it is meant: `contentops apply --approve-credits 8 --approve-changes`"
    )
    assert _text(make_plan(change, refusals=(server,))).endswith(
        "apply would refuse: another server (first run: `contentops state mv --server a b`)"
    )
    assert _text(make_plan(change, refusals=(budget, stale))).endswith("apply would refuse: too old")


@given(st.text(min_size=1), st.text(), st.recursive(st.text() | st.none(), st.lists))
def test_no_plan_can_command_the_terminal(name: str, words: str, value: object) -> None:
    """Whatever manifests, files and servers say, the text has no control character but line feeds."""
    for verbose in (False, True):
        text = _text(_hostile_plan(words, name=name, value=value), verbose=verbose)
        assert all(character == "\n" or (character >= " " and character != "\x7f") for character in text)
        text.encode()


def strict(schema: Any) -> Any:
    """The schema, but with no room for keys it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(each) for key, each in schema.items()}
    if "required" in schema:
        found["additionalProperties"] = False
    return found


FULL = make_plan(
    make_change("guide"),
    make_change(
        "old",
        Action.UPDATE,
        steps=("look up", "update"),
        record=make_record("old", saved=Saved(title=a_digest("a"))),
        job=make_job(),
        drains=(make_job(job_id="j"),),
        reasons=(
            Reason(kind="changed", field="inputs.a", before={"x": [1]}, after=None, cause="c"),
            Reason(kind="changed", field="inputs.b", before=1, after=2, cause="c"),
        ),
        front=MappingProxyType({"tags": ["a"], "date": None}),
        title="A title",
        file=a_digest("b"),
        source="out/was.md",
        renamed_from=ItemId("older"),
        hint="h",
    ),
    make_change("other", Action.BLOCKED, blocked="edited", reasons=(Reason(kind="k", cause="c"),)),
    environment="staging",
    unchanged=3,
    notes=(Note(kind="orphan", message="m", id=ItemId("x")), Note(kind="n", message="m")),
    refusals=(Refusal(guard="g", message="m", flag="--f"),),
    findings=(Diagnostic(code="c", message="m", severity=Severity.WARNING, location=Location("a.yaml", 1, 2)),),
)


@pytest.mark.parametrize("plan", [FULL, make_plan()], ids=["full", "empty"])
def test_the_plan_in_pieces_is_the_sealed_plan(plan: Plan) -> None:
    """Written change by change, it is the same text every time, and fits its schema: each key is described."""
    inputs = {"variables": ["changes=[]"], "select": ['"changes": []\n  "changes": []']}
    pieces = list(plan_pieces(plan, inputs=inputs))
    document = sealed(plan_document(plan, inputs=inputs))
    assert "".join(pieces) == "".join(plan_pieces(plan, inputs=inputs)) == json_text(document)
    jsonschema.validate(document, strict(load_schema("plan")))
    assert len(pieces) == 2 + len(plan.changes)


HOSTILE = (
    "```\n</details> <img src=x onerror=alert(1)> | @everyone #1 [x](http://evil.example) ![y](z) "
    "`` ` \\| \x1b[31m \u202e https://evil.example www.evil.example GH-1 <!-- --> $x$ **bold** ~~gone~~"
)
_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _tokens(markdown: str) -> list[tuple[str, str]]:
    found = []
    for token in _PARSER.parse(markdown):
        found.append((token.type, token.content))
        found += [(child.type, child.content) for child in token.children or []]
    return found


def test_a_small_plan() -> None:
    """Marker, counts, what stands in the way, causes, notes, table, and the reasons folded away."""
    plan = make_plan(
        make_change(
            "a", Action.REGENERATE, steps=("submit",), credits=4, source="out/was.md",
            reasons=(Reason(kind="changed", field="inputs.topic", before="x", after="y", cause="var `v` in a.yaml:1:2"),),
        ),
        make_change(
            "b", Action.BLOCKED, blocked="edited", hint="decide, or run `contentops discard b`",
            reasons=(Reason(kind="odd", field="output", cause="var `v` in a.yaml:1:2"),),
        ),
        make_change("c", Action.SAVE, steps=("save",)),
        make_change("d", Action.CREATE, steps=("submit",), credits=0, reasons=()),
        environment="staging", unchanged=2,
        notes=(Note(kind="orphan", id=ItemId("o"), message="`o` is in no manifest", hint="run `contentops apply`"),),
        refusals=(Refusal(guard="g", message="too dear", flag="--approve-credits 4"),),
    )  # fmt: skip
    assert plan_markdown(plan) == (
        "<!-- contentops:plan:acme-blog:staging -->\n"
        "### contentops plan: `acme-blog`, environment `staging`\n"
        "\n"
        "Server `local`, no budget.\n"
        "\n"
        "**1 to create, 1 to regenerate, 1 to save, 1 blocked, 2 unchanged. 4 credits.**\n"
        "\n"
        ":warning: **apply would refuse:** too dear (to continue anyway: `--approve-credits 4`)\n"
        "\n"
        "Next, if all of it is meant: `contentops apply --env staging --approve-credits 4`\n"
        "\n"
        "- var `v` in a.yaml:1:2: 2 items, 4 credits\n"
        "\n"
        "- note: `o` is in no manifest (run `contentops apply --env staging`)\n"
        "\n"
        "| | Item | Action | Credits | Output |\n"
        "|---|---|---|---:|---|\n"
        "| `!` | `b` | blocked |  | `out/b.md` |\n"
        "| `~` | `a` | regenerate | 4 | `out/was.md` → `out/a.md` |\n"
        "| `^` | `c` | save |  | `out/c.md` |\n"
        "| `+` | `d` | create | free | `out/d.md` |\n"
        "\n"
        "<details><summary>Reasons</summary>\n"
        "\n"
        "```diff\n"
        "@@ b: blocked @@\n"
        "! blocked: edited\n"
        "  output: odd\n"
        "  because of var `v` in a.yaml:1:2\n"
        "  hint: decide, or run `contentops discard --env staging b`\n"
        "@@ a: regenerate @@\n"
        "  steps: submit\n"
        '- inputs.topic: "x"\n'
        '+ inputs.topic: "y"\n'
        "  because of var `v` in a.yaml:1:2\n"
        "```\n"
        "\n"
        "</details>\n"
    )


def _hostile_plan(words: str, *, name: str = "", value: object = None) -> Plan:
    reasons = Reason(kind="k", field=words, before=value, after=[words], cause=words, detail=words), Reason(kind=words)
    job = make_job(error=words, job_id=words)
    changes = [
        make_change(f"{id_}{name}{words}", reasons=reasons, hint=words, source=words, blocked=words, job=job)
        for id_ in "ab"
    ]
    return make_plan(
        *changes, make_change(f"c{name}", reasons=reasons), project=words, server=words, environment=words,
        notes=(Note(kind=words, message=words, hint=words, id=ItemId(words)),),
        refusals=(Refusal(guard=words, message=words, flag=words),),
    )  # fmt: skip


@given(
    st.text()
    | st.lists(st.sampled_from(["`", "|", "\\", "<b>", "@me", "#1", "\n", "```", "[a](b)", "x ", "$"])).map("".join)
)
@example(HOSTILE)
@example("`|`\\|")
def test_nothing_hostile_breaks_out(words: str) -> None:
    """No link, image, emphasis, heading or HTML of theirs; the table keeps its columns, the fence its block."""
    markdown = plan_markdown(_hostile_plan(words))
    tokens = _tokens(markdown)
    kinds = [kind for kind, _ in tokens]
    forbidden = {"link_open", "image", "html_inline", "em_open", "s_open", "hr", "code_block", "blockquote_open"}
    assert not forbidden & set(kinds)
    assert (kinds.count("heading_open"), kinds.count("fence"), kinds.count("strong_open")) == (1, 1, 2)
    assert kinds.count("td_open") == 3 * 5
    blocks = [content.strip() for kind, content in tokens if kind == "html_block"]
    assert [block.startswith("<!--") for block in blocks] == [True, False, False]
    assert blocks[1:] == ["<details><summary>Reasons</summary>", "</details>"]


@pytest.mark.parametrize("address", [
    "https://evil.example", "HTTP://evil.example/a?b", "ftp://evil.example", "www.evil.example", "WWW.evil.example",
    "_www.evil.example", "xwww.evil.example", "(www.evil.example)", "me@evil.example", "mailto:me@evil.example",
])  # fmt: skip
def test_no_address_is_a_link(address: str) -> None:
    """Forges look for a scheme right before `://`, for `www.`, and for what stands around an `@`."""
    shown = prose(f"see {address} now")
    assert not re.search(r"[a-z]://|www\.|@[a-z]", shown, re.IGNORECASE)
    assert re.sub(r"[\\\u200b]", "", shown) == f"see {address} now"
    # An invisible character must not be a part of the host: browsers drop it there.
    assert "//\u200b" not in shown


@given(st.text() | st.just(HOSTILE))
def test_prose_mentions_and_links_nothing(words: str) -> None:
    """Outside code no mention, issue or address survives, not even for a forge that links after rendering."""
    outside = "".join(content for kind, content in _tokens(prose(words)) if kind == "text")
    assert not re.search(r"[@#]\w|\w://|www\.|GH-\d", outside)


@pytest.mark.parametrize(
    "name", ["--> <b>", "a--b", "", "-" * 500, "ü/x"], ids=["end", "dashes", "empty", "long", "other"]
)
def test_the_marker_is_one_comment(name: str) -> None:
    """A project's name cannot end the comment that marks the page."""
    found = marker(make_plan(project=name, environment=name))
    assert re.fullmatch(r"<!-- contentops:plan:[A-Za-z0-9_.-]*:[A-Za-z0-9_.-]* -->", found)
    assert "--" not in found[4:-3]


def _many(number: int) -> list[Change]:
    reason = Reason(kind="changed", field="inputs.topic", before="ü" * 100, after="ö" * 100)
    return [make_change(f"item-{at:05}", reasons=(reason,), hint="h") for at in range(number)]


@pytest.mark.parametrize("limit", [4_000, 10_000, 65_000], ids=str)
@pytest.mark.parametrize("number", [0, 5, 700], ids=str)
def test_a_comment_never_exceeds_its_limit(limit: int, number: int) -> None:
    """Whole items are left off, and every one that is missing is counted."""
    notes = tuple(Note(kind="n", message="m" * 400, hint="h" * 400) for _ in range(30))
    markdown = plan_markdown(make_plan(*_many(number), notes=notes), limit=limit)
    assert len(markdown.encode()) <= limit
    rows = markdown.count("\n| `+` |")
    hidden = re.search(r"([\d,]+) more items? hidden", markdown)
    assert rows + (int(hidden[1].replace(",", "")) if hidden else 0) == number
    assert [kind for kind, _ in _tokens(markdown)].count("fence") == ("```diff" in markdown)
    assert markdown.count("<details>") == markdown.count("</details>")


def test_what_does_not_fit_is_said() -> None:
    """The last line names items, reasons and other lines that are hidden."""
    notes = tuple(Note(kind="n", message="m" * 400) for _ in range(30))
    markdown = plan_markdown(make_plan(*_many(100), notes=notes), limit=4_000)
    assert re.search(
        r"\n_\d+ more items hidden; the reasons of \d+ items hidden; \d+ more lines of causes and notes hidden: "
        r"`contentops plan` shows all of it\._\n$",
        markdown,
    )
    with pytest.raises(ValueError, match="too few for a plan"):
        plan_markdown(make_plan(), limit=100)


SETTINGS = "version: 1\nproject: acme\napi: {base_url: local}\nvars: {year: 2026}\n"
MANIFEST = """\
defaults: {template: blog_article_generator, style: general_blog, inputs: {target_audience: readers}}
items:
  - {id: one, inputs: {topic: "One in {{ year }}"}}
  - {id: two, inputs: {topic: "Two in {{ year }}"}}
  - {id: three, inputs: {topic: Three}}
  - {id: four, inputs: {topic: Four}}
  - {id: "city-{{ each.name }}", for_each: cities.csv, inputs: {topic: "{{ each.name }}"}}
"""


def test_each_change_is_under_each_of_its_causes(project: Build, invoke: Run) -> None:
    """A variable, a data file, an item's own lines, and a file that was removed; nothing is left out."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST, "content/cities.csv": "name\nbern\n"})
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "contentops.yaml").write_text(SETTINGS.replace("2026", "2027"))
    (root / "content/a.yaml").write_text(MANIFEST.replace("Three", "The third").replace("general_blog", "phd_academic"))
    (root / "content/cities.csv").write_text("name\nbern\nrome\noslo\n")
    (root / "out/four.md").unlink()
    (root / "content/b.yaml").write_text(
        "items: [{id: new, template: blog_article_generator, style: general_blog, "
        "inputs: {topic: New, target_audience: readers}}]"
    )
    plan = operation.plan(open_project(str(root), "", ()), Choice())
    groups = {group.title: [change.id for change in group.changes] for group in cause_groups(plan)}
    assert groups == {
        "default `style` in content/a.yaml:1:53": ["city-bern", "four", "one", "three", "two"],
        "new rows in `content/cities.csv`": ["city-oslo", "city-rome"],
        "var `year` in contentops.yaml:4:14": ["one", "two"],
        "new in `content/b.yaml`": ["new"],
    }
    assert {change.id for change in plan.changes} == {id_ for ids in groups.values() for id_ in ids}
    settings = SETTINGS.replace("local", "http://127.0.0.1:9").replace("2026", "2028")
    (root / "contentops.yaml").write_text(settings)
    plan = operation.plan(open_project(str(root), "", ()), Choice())
    outlines = next(group for group in cause_groups(plan) if group.title == "made by the bundled server")
    assert [change.id for change in outlines.changes] == ["city-bern", "four", "one", "three", "two"]
    text = plan_text(plan, verbose=False)
    assert "draft outline: made by the bundled server\n" in text
    assert "made by the bundled server: 5 items, 16 credits" in text
    (root / "contentops.yaml").write_text(SETTINGS.replace("2026", "2027"))
    (root / "content/a.yaml").write_text(MANIFEST.replace("Three", "The third"))
    titles = {group.title for group in cause_groups(operation.plan(open_project(str(root), "", ()), Choice()))}
    assert {"changed in `content/a.yaml`", "edited or missing"} < titles
