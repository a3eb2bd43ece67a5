from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import pytest
from msgspec import structs

from contentops.errors import Location
from contentops.model import OnEdit, Origin
from tests.desired import declared, desired, findings, lines
from tests.fakes.sides import a_file, a_record, a_spec, plan_of
from tests.running import Build

LAYERED = """
version: 1
project: acme
output: "project/{{ item.id }}.md"
defaults:
  template: blog
  style: general
  mode: quick
  vertical: legal
  on_edit: keep
  inputs: {topic: project, tone: dry, anything: {a: 1, b: {c: 1, d: 1}}}
  metadata: {from: project, list: [1, 2]}
  tags: [project]
vars: {who: project, only: project}
environments:
  staging:
    output: "staging/{{ item.id }}.md"
    defaults: {mode: premium, inputs: {tone: warm, anything: {b: {d: 3}}}, on_edit: overwrite}
    vars: {who: staging}
  plain: {}
"""
MANIFEST = """
defaults:
  style: formal
  mode: standard
  inputs: {topic: manifest, words: 5, anything: {b: {c: 2}}}
  metadata: {list: [3]}
  output: "manifest/{{ item.id }}.md"
vars: {who: manifest}
items:
  - id: one
    inputs: {topic: "{{ who }} {{ only }}"}
  - id: two
    mode: premium
    vertical: null
    tags: null
    output: two.md
    vars: {who: item}
    inputs: {topic: "{{ who }} {{ only }}", tone: null, words: null, anything: {b: null, e: 5}}
    metadata: {from: null, list: []}
    on_edit: merge
"""


def layered(project: Build, environment: str, **options: Any) -> Any:
    """The two items of LAYERED."""
    root = project({"contentops.yaml": LAYERED, "content/a.yaml": MANIFEST})
    return desired(root, environment=environment, **options).specs


@pytest.mark.parametrize("environment", ["", "plain"])
def test_layers_without_an_environment(project: Build, environment: str) -> None:
    """An item is above its manifest's defaults, and those above the project's; maps merge, lists replace."""
    one, two = layered(project, environment)
    assert one.request.as_json() == {
        "template": "blog",
        "style": "formal",
        "mode": "standard",
        "vertical": "legal",
        "inputs": {"topic": "manifest project", "tone": "dry", "words": 5, "anything": {"a": 1, "b": {"c": 2, "d": 1}}},
    }
    assert (one.output, one.metadata, one.tags) == ("manifest/one.md", {"from": "project", "list": [3]}, ("project",))
    assert two.request.as_json() == {
        "template": "blog",
        "style": "formal",
        "mode": "premium",
        "inputs": {"topic": "item project", "anything": {"a": 1, "e": 5}},
    }
    assert (two.output, two.metadata, two.tags) == ("two.md", {"list": []}, ())
    assert (one.on_edit, two.on_edit) == (OnEdit.KEEP, OnEdit.MERGE)


def test_origins_say_which_layer_and_line(project: Build) -> None:
    """Each field knows the layer that won and where that stands, each variable where its value was written."""
    one, two = layered(project, "staging")
    origin = {name: (found.layer, str(found.location)) for name, found in one.origins.items()}
    assert origin["template"] == ("project", "contentops.yaml:6:13")
    assert origin["style"] == ("manifest", "content/a.yaml:3:10")
    assert origin["mode"] == ("environment", "contentops.yaml:18:22")
    assert origin["output"] == ("environment", "contentops.yaml:17:13")
    assert origin["inputs.topic"] == ("item", "content/a.yaml:11:21")
    assert origin["inputs.anything.b.c"] == ("manifest", "content/a.yaml:5:57")
    assert origin["inputs.anything.b.d"] == ("environment", "contentops.yaml:18:70")
    assert (one.variables["who"].location, one.on_edit) == (Location("contentops.yaml", 19, 17), OnEdit.OVERWRITE)
    assert (two.variables["who"].layer, two.variables["only"].layer) == ("item", "project")
    assert two.location == Location("content/a.yaml", 12, 5)


def test_axes_come_from_files_and_stand_beside_rows(project: Build) -> None:
    """A row of a file is the value of its axis; rows of `for_each` meet every choice, each value at its own place."""
    root = declared(
        project,
        """
        items:
          - id: "{{ each.city.slug }}-{{ each.service }}"
            matrix: {city: data/cities.csv, service: [design, audit]}
            inputs: {topic: "In {{ each.city.city }}: {{ each.service }}"}
          - id: "{{ each.slug }}-{{ each.tone }}"
            for_each: data/cities.csv
            matrix: {tone: data/tones.json}
            inputs: {topic: "{{ each.city }}, {{ each.tone }}"}
        """,
        {"data/cities.csv": "slug,city\noslo,Oslo\nbergen,Bergen\n", "data/tones.json": '["dry", "warm"]'},
    )
    specs = {str(spec.id): spec for spec in desired(root).specs}
    assert [name for name in specs if name.endswith(("design", "audit"))] == [
        "bergen-audit", "bergen-design", "oslo-audit", "oslo-design",
    ]  # fmt: skip
    assert specs["bergen-audit"].request.inputs["topic"] == "In Bergen: audit"
    assert specs["bergen-audit"].variables["each.city"].location == Location("data/cities.csv", 3, 1)
    both = specs["bergen-warm"]
    assert both.request.inputs["topic"] == "Bergen, warm"
    assert both.variables["each.slug"].location == Location("data/cities.csv", 3, 1)
    assert both.variables["each.tone"].location == Location("data/tones.json", 1, 9)


AXIS = list(range(100))
ITEMS = [
    ("fixed-id", "{id: x, for_each: [1, 2], inputs: {topic: x}}", "error[id-without-each] content/a.yaml:1:14 <x> item `x` makes several items, so its `id` must use `each`"),
    (
        "fixed-id-matrix",
        "{id: '{{ item.mode }}', matrix: {a: [1]}, inputs: {topic: x}}",
        "error[id-without-each] content/a.yaml:1:14 <'{{ item.mode }}'> item `{{ item.mode }}` makes several items",
    ),
    (
        "same-id-inline",
        "{id: 'x{{ each.value }}', for_each: [1, 2, 1], inputs: {topic: x}}",
        "error[duplicate-id] content/a.yaml:1:14 <'x{{ each.value }}'> item `x1` (content/a.yaml:1:52) is declared twice: first at content/a.yaml:1:46",
    ),
    (
        "same-id-csv",
        "{id: 'x{{ each.k }}', for_each: rows.csv, inputs: {topic: x}}",
        "error[duplicate-id] content/a.yaml:1:14 <'x{{ each.k }}'> item `xa` (content/rows.csv:4) is declared twice: first at content/rows.csv:2",
    ),
    (
        "same-id-matrix",
        "{id: 'x{{ each.a }}', matrix: {a: [1], b: [1, two]}, inputs: {topic: x}}",
        "error[duplicate-id] content/a.yaml:1:14 <'x{{ each.a }}'> item `x1` (a `1`, b `two`) is declared twice: first at content/a.yaml:1:9 (a `1`, b `1`)",
    ),
    (
        "empty-list",
        "{id: '{{ each.value }}', for_each: [], inputs: {topic: x}}",
        "warning[empty-for-each] content/a.yaml:1:44 <[> item `{{ each.value }}` makes no items: its `for_each` is empty",
    ),
    ("empty-file", "{id: '{{ each.k }}', for_each: empty.csv, inputs: {topic: x}}", "warning[empty-for-each] content/a.yaml:1:40 <empty.csv> item `{{ each.k }}` makes no items"),
    (
        "jinja-in-data",
        "{id: '{{ each.value }}', for_each: ['{{ x }}'], inputs: {topic: x}}",
        "error[template-in-data] content/a.yaml:1:44 <[> item `{{ each.value }}` has Jinja in its data (`{{ x }}`)",
    ),
    (
        "jinja-in-matrix",
        "{id: '{{ each.a }}', matrix: {a: ['{{ x }}']}, inputs: {topic: x}}",
        "error[template-in-data] content/a.yaml:1:42 <[> item `{{ each.a }}` has Jinja in its data",
    ),
    (
        "column-and-axis",
        "{id: '{{ each.k }}', for_each: rows.csv, matrix: {z: [1], k: [1]}, inputs: {topic: x}}",
        "error[each-twice] content/a.yaml:1:67 <k> item `{{ each.k }}` has `k` as an axis of its `matrix` and as a column of its `for_each` (hint: rename the axis: both would be `each.k`)",
    ),
    ("value-and-axis", "{id: '{{ each.value }}', for_each: [1], matrix: {value: [1]}, inputs: {topic: x}}", "error[each-twice] content/a.yaml:1:58 <value>"),
    (
        "missing-axis-file",
        "{id: '{{ each.k }}', matrix: {k: nope.csv}, inputs: {topic: x}}",
        "error[no-data-file] content/a.yaml:1:42 <nope.csv> the axis `k` of `matrix` names `nope.csv`, which does not exist: looked for `nope.csv` and `content/nope.csv` (hint: paths are relative to the project root, or to the manifest's folder; an axis of one value is `[nope.csv]`)",
    ),
    (
        "empty-axis-file",
        "{id: '{{ each.k }}', for_each: rows.csv, matrix: {a: empty.csv}, inputs: {topic: x}}",
        "warning[empty-for-each] content/a.yaml:1:62 <empty.csv> item `{{ each.k }}` makes no items: the axis `a` of its",
    ),
    (
        "same-id-rows-and-axes",
        "{id: 'x{{ each.value }}', for_each: [a], matrix: {b: [1, two]}, inputs: {topic: x}}",
        "item `xa` (content/a.yaml:1:46, b `two`) is declared twice: first at content/a.yaml:1:46, b `1`",
    ),
    (
        "each-of-plain-values",
        "{id: 'x{{ each.value }}', for_each: [1], inputs: {topic: 'a {{ each }}'}}",
        "a map cannot be part of a text (hint: for rows with plain values, write `each.value`)",
    ),
    (
        "each-as-id",
        "{id: '{{ each }}', output: x.md, for_each: [1], inputs: {topic: x}}",
        "`id` must be a text, not a map (hint: for rows with plain values, write `each.value`)",
    ),
    (
        "each-without-for-each",
        "{id: x, inputs: {topic: '{{ each.k }}'}}",
        "<each.k> item `x` has a problem in `inputs.topic`: `each` is not defined (hint: `each` is only known with `for_each` or `matrix`)",
    ),
    (
        "null-output",
        "{id: x, output: null, inputs: {topic: x}}",
        "error[missing-key] content/a.yaml:1:9 <{> item `x` has no `output` (hint: null removes the project's setting; leave the key out)",
    ),
    (
        "missing-file",
        "{id: '{{ each.k }}', for_each: nope.csv, inputs: {topic: x}}",
        "error[no-data-file] content/a.yaml:1:40 <nope.csv> `for_each` names `nope.csv`, which does not exist: looked for `nope.csv` and `content/nope.csv`",
    ),
    ("path-out", "{id: '{{ each.k }}', for_each: ../../x.csv, inputs: {topic: x}}", "which points outside the project with `..`"),
    ("path-blank", "{id: '{{ each.k }}', for_each: ' ', inputs: {topic: x}}", "which is empty"),
    ("path-absolute", "{id: '{{ each.k }}', for_each: /x.csv, inputs: {topic: x}}", "which is absolute"),
    ("path-drive", "{id: '{{ each.k }}', for_each: 'c:x.csv', inputs: {topic: x}}", "which is absolute"),
    ("path-backslash", "{id: '{{ each.k }}', for_each: 'a\\x.csv', inputs: {topic: x}}", "contains a backslash"),
    ("path-jinja", "{id: '{{ each.k }}', for_each: '{{ x }}.csv', inputs: {topic: x}}", "contains Jinja"),
    ("path-hidden", "{id: '{{ each.k }}', for_each: \"a\\u200bb.csv\", inputs: {topic: x}}", "invisible characters"),
    ("path-folder", "{id: '{{ each.k }}', for_each: content, inputs: {topic: x}}", "`content` is not a file"),
    ("bad-rows", "{id: '{{ each.k }}', for_each: bad.json, inputs: {topic: x}}", "content/bad.json:1:2"),
    ("empty-matrix", "{id: '{{ each.a }}', matrix: {}, inputs: {topic: x}}", "error[wrong-value]"),
    ("no-axis", "{id: '{{ each.a }}', matrix: {a: 1}, inputs: {topic: x}}", "error[wrong-type]"),
    ("empty-axis", "{id: '{{ each.a }}', matrix: {a: [1], b: []}, inputs: {topic: x}}", "the axis `b` of its `matrix` is empty"),
    (
        "too-many-combinations",
        f"{{id: '{{{{ each.a }}}}', matrix: {{a: {AXIS}, b: {AXIS}, c: {AXIS}}}, inputs: {{topic: x}}}}",
        "error[too-many-items] content/a.yaml:1:30 <matrix> item `{{ each.a }}` would become 1000000 items, more than 200000",
    ),
    ("too-many-rows", "{id: '{{ each.k }}', for_each: long.csv, inputs: {topic: x}}", "would become 200001 items, more than 200000"),
    ("unknown-kind", "{id: '{{ each.k }}', for_each: a.yaml.txt, inputs: {topic: x}}", "unknown-data"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "expected"), [case[1:] for case in ITEMS], ids=[case[0] for case in ITEMS])
def test_what_for_each_refuses(project: Build, item: str, expected: str) -> None:
    """Rows that cannot be told apart or read are found at their declaration, and name their row."""
    root = declared(
        project,
        f"items: [{item}]\n",
        {
            "content/rows.csv": "k\na\nb\na\n", "content/empty.csv": "k\n", "content/bad.json": "[x]",
            "content/a.yaml.txt": "", "content/long.csv": b"k\n" + b"a\n" * 200_001,
        },
    )  # fmt: skip
    [line] = lines(findings(root))
    assert expected in line


def test_unused_variables_are_warned_about(project: Build) -> None:
    """A variable no one uses is a warning where it is declared; one that only serves another used one is not."""
    root = declared(
        project,
        """
        vars: {base: x, top: "{{ base }}", local: y, twice: z}
        items:
          - {id: one, vars: {mine: 1, twice: 2}, inputs: {topic: "{{ top }} {{ used }}"}}
          - {id: two, inputs: {topic: "{{ twice }}"}}
        """,
        settings="vars: {used: 1, idle: 2, over: 3}\nenvironments: {e: {vars: {over: 4, alone: 5, used: 6}, output: 'e/{{ item.id }}.md'}}\n",
    )
    assert [line.partition(" (hint")[0] for line in lines(findings(root, environment="e", variables={"cli": 1}))] == [
        "warning[unused-variable] - <> `--var cli` is not used by any item",
        "warning[unused-variable] content/a.yaml:2:36 <local> variable `local` is not used by any item",
        "warning[unused-variable] content/a.yaml:4:22 <mine> variable `mine` is not used by item `one`",
        "warning[unused-variable] content/a.yaml:4:31 <twice> variable `twice` is not used by item `one`",
        "warning[unused-variable] contentops.yaml:5:17 <idle> variable `idle` is not used by any item",
        "warning[unused-variable] contentops.yaml:5:26 <over> variable `over` is not used by any item",
        "warning[unused-variable] contentops.yaml:6:36 <alone> variable `alone` is not used by any item",
    ]


@pytest.mark.parametrize(("moved", "expected"), [
    ("[{from: a, to: one}]", []),
    ("[{from: one, to: two}, {from: two, to: one}]", ["`moved` contains a cycle: `one` -> `two` -> `one`"]),
    ("[{from: zero, to: one}, {from: one, to: two}]", []),
    ("[{from: one, to: two}]", ["`moved` renames `one`, which is still declared"]),
    ("[{from: a, to: a}]", ["`moved` renames `a` to itself"]),
    ("[{from: a, to: one}, {from: a, to: two}]", ["`moved` names `a` twice as `from`: first at content/a.yaml:1:9"]),
    ("[{from: a, to: one}, {from: b, to: one}]", ["`moved` names `one` twice as `to`: first at content/a.yaml:1:9"]),
])  # fmt: skip
def test_moved(project: Build, moved: str, expected: list[str]) -> None:
    """Pairs hold all at once; those that contradict the declared ids or each other are errors."""
    text = f"moved: {moved}\nitems: [{{id: one, inputs: {{topic: x}}}}, {{id: two, inputs: {{topic: y}}}}]\n"
    root = declared(project, text)
    assert sorted(entry.message for entry in findings(root)) == expected
    if not expected:
        assert all(entry.location is not None for entry in desired(root).moved)


class Unasked(Mapping[str, Origin]):
    """Origins that no one may look up: for 10,000 items it takes seconds."""

    def __getitem__(self, name: str) -> NoReturn:
        raise AssertionError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError


def test_an_unchanged_item_asks_for_no_origin() -> None:
    """Its record, its file and its request agree, so that nothing has to be explained."""
    spec = structs.replace(a_spec(), origins=Unasked())
    plan = plan_of([spec], [a_record(spec)], [a_file(spec.output)])
    assert (plan.changes, plan.unchanged) == ((), 1)
