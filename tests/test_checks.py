"""What a text must be like: each check both ways, hostile texts, and how manifests and settings state checks."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.documents.checks import (
    LOOKS,
    CheckedText,
    check_text,
    compiled,
    count_words,
    schema_errors,
    schema_problem,
)
from contentops.model import NO_CHECKS, Checks, Finding, FrontMatterSchema, Grounded, Level, Listed, WordLimits
from contentops.pages.badges import CHECKS
from contentops.reporting.diagnostics import RULES, UNAPPROVED
from contentops.schema_files import load_schema
from tests.desired import PROJECT, declared, desired, findings, lines
from tests.running import Build, Clock

SCHEMA = '{"properties":{"tags":{"maxItems":2,"type":"array"},"title":{"pattern":"^[A-Z]"}},"required":["tags"]}'


def findings_in(body: str, *, exists: tuple[str, ...] = (), title: str = "A title", **checks: Any) -> list[Finding]:
    """What checks find in a body that begins on line 10 of `blog/a.md`."""
    text = CheckedText(title=title, body=body, output="blog/a.md", first_line=10, front={"tags": ["a"]})
    return list(check_text(Checks(**checks), text, exists.__contains__))


def said(body: str, **given: Any) -> list[tuple[int, str]]:
    """Lines and messages of the same."""
    return [(finding.line, finding.message) for finding in findings_in(body, **given)]


def listed(*values: str, level: Level = Level.BLOCK) -> Listed:
    """What a person listed."""
    return Listed(values=values, level=level)


def test_each_check_has_all_its_parts() -> None:
    """What finds it, its words for SARIF and the review pages, its keys in both schemas and its row in the guide."""
    names = set(Checks.__struct_fields__) - {"retries"}
    assert names == {*LOOKS, "similar", "commands"}
    codes = {name.replace("_", "-") for name in names}
    assert RULES.keys() == codes | {UNAPPROVED}
    assert CHECKS.keys() == codes - {"commands"}  # the review pages run no program
    manifest, settings = (
        load_schema(one)["definitions"]["checks"]["properties"].keys() for one in ("manifest", "project")
    )
    assert manifest | {"commands"} == settings == names | {"retries"}
    guide = (Path(__file__).parents[1] / "docs/how-to/check-texts.md").read_text("utf-8")
    assert [name for name in names if f"| `{name}` |" not in guide] == []


@pytest.mark.parametrize(("body", "count"), [
    ("", 0), ("One two-three four's 5.\n", 4), ("# A heading\n\n- item\n", 3),
    ('See [the page](https://example.org/a/b "t").\n', 4), ("<p class='x'>Two words</p>\n", 2), ("-- *** ... ---\n", 0),
    ("one\u2014two/three\n", 3), ("今日は good 日\n", 5), ("हिन्दी में लिखा\n", 3), ("สวัสดี\n", 4), ("한국어 문장\n", 2),
])  # fmt: skip
def test_words_are_counted_in_every_script(body: str, count: int) -> None:
    """Runs with a letter or digit count, and each character of scripts without spaces; marks of Markdown do not."""
    assert count_words(body) == count


FAQ = "a\n\n## FAQ\nclick HERE\n"


@pytest.mark.parametrize(("body", "title", "checks", "found"), [
    # Both limits hold, each with the number that was found.
    ("one two", "", {"words": WordLimits(min=3)}, [(0, "2 words, fewer than 3")]),
    ("one two", "", {"words": WordLimits(max=1)}, [(0, "2 words, more than 1")]),
    ("one two", "", {"words": WordLimits(min=2, max=2)}, []),
    # Title and body are searched; capitals count, line breaks between the words do not.
    ("we at Acme\nCorp", "", {"contains": listed("Acme Corp")}, []), ("", "Acme", {"contains": listed("Acme")}, []),
    ("acme", "", {"contains": listed("Acme", "acme")}, [(0, "does not say `Acme`")]),
    # The first place, and how many there are.
    ("a\n\ncheap\ncheap", "", {"excludes": listed("cheap")}, [(12, "says `cheap` (2 times)")]),
    ("fine", "cheap", {"excludes": listed("cheap")}, [(0, "says `cheap` in its title")]),
    ("fine", "", {"excludes": listed("cheap")}, []),
    # `^` and `$` are the ends of a line.
    (FAQ, "", {"matches": listed("^## FAQ$", "^FAQ")}, [(0, "no text matches `^FAQ`")]),
    (FAQ, "", {"not_matches": listed("(?i)click here", "^x")}, [(13, "some text matches `(?i)click here`")]),
    (FAQ, "", {"not_matches": listed("^a$")}, [(10, "some text matches `^a$`")]),
])  # fmt: skip
def test_what_a_text_must_say(body: str, title: str, checks: dict[str, Any], found: list[tuple[int, str]]) -> None:
    """How long it is, what it has to say and must not say, at the line where it says so."""
    assert said(body, title=title, **checks) == found


def test_headings_are_those_of_markdown() -> None:
    """At any level, whatever their capitals and emphasis; none in a fence."""
    body = "## introduction\n\n### The **FAQ** ##\n\n```\n# Code\n```\n"
    assert said(body, headings=listed("Introduction", "the FAQ", "## Introduction")) == []
    (finding,) = findings_in(body, headings=listed("Code", level=Level.WARN))
    assert (finding.message, finding.level) == ("has no heading `Code`", Level.WARN)
    assert "introduction" in findings_in(body, headings=listed("Introductions"))[0].hint


@pytest.mark.parametrize("line", [
    "> Draft outline, made offline by the bundled server.", "As an AI language model, I cannot know.",
    "I\u2019m sorry, but I can\u2019t do that.", "Sure! Here is the article.", "Certainly, here's what you asked for",
    "Here is the revised article:", "I hope this helps!", "Dear [Your name],", "Call [insert phone number here] now",
    "TODO: a figure", "Lorem ipsum dolor", "Welcome to {{ company }}", "{{ company | upper }}", "Visit <your website>",
])  # fmt: skip
def test_leftovers_are_found(line: str) -> None:
    """Labels of scaffolds, words a model wrote to its user, and placeholders."""
    assert [number for number, _ in said(f"Fine.\n\n{line}\n", leftovers=Level.BLOCK)] == [12]


@pytest.mark.parametrize("line", [
    "Here is the thing: people read.", "Sure, it takes time.", "Write a draft outline first.",
    "See [your account](https://example.org).", "[your account]: https://example.org",
    "In code: `[Your name]` and `{{ company }}` and `TODO`.", "```\nTODO\n```", "todo lists help",
    '{{< figure src="a.png" >}}', "{% include a.html %}", "An AI model writes as an artist would.",
])  # fmt: skip
def test_prose_is_no_leftover(line: str) -> None:
    """What articles say, code shows, and site generators read stays."""
    assert said(line, leftovers=Level.BLOCK) == []


def test_links_lead_somewhere_inside_the_project() -> None:
    """Relative ones alone: from the folder of the file, with or without the ending of a page."""
    present = ("blog/b.md", "blog/c d.png", "docs/index.md", "img")
    body = (
        "[b](b.md) [b](./b#part) ![c](c%20d.png) [d](../docs/) ![e](<c d.png>) [f](../img)\n"
        '[x](https://a.b/c) [y](#here) [z](mailto:a@b.c) [r](/root) [t]({{< ref "a" >}}) [p](//a.b) `[q](q)` [](\n'
        "[gone](gone.md) and [out](../../x)\n\n[ref]: nowhere.md\n![etc](%2Fetc%2Fpasswd) [up](..%5C..%5Cx)\n"
    )
    assert said(body, exists=present, links=Level.WARN) == [
        (12, "the link `gone.md` points to no file of the project"),
        (12, "the link `../../x` points outside the project"),
        (14, "the link `nowhere.md` points to no file of the project"),
        (15, "the link `%2Fetc%2Fpasswd` points outside the project"),
        (15, "the link `..%5C..%5Cx` points outside the project"),
    ]


def test_front_matter_fits_a_schema() -> None:
    """Each key that does not, at its line; the title is part of it."""
    schema = FrontMatterSchema(path="s.json", text=SCHEMA)
    text = CheckedText(title="lower", body="", front={"tags": [1, 2, 3]}, key_lines={"tags": 4, "title": 2})
    findings = check_text(Checks(front_matter=schema), text, bool)
    assert sorted((each.line, each.message) for each in findings) == [
        (2, "`title`: 'lower' does not match `^[A-Z]`"),
        (4, "`tags`: [1, 2, 3] is too long"),
    ]
    assert check_text(Checks(front_matter=schema), CheckedText(title="T", body="", front={"tags": []}), bool) == ()


EVERY = Checks(
    words=WordLimits(min=1, max=2), contains=listed("Acme Corp"), excludes=listed("a", "x y"),
    matches=listed(r"(\w+\s?)*:$", "^a"), not_matches=listed(r"(a+)+$"), headings=listed("FAQ"),
    leftovers=Level.BLOCK, links=Level.WARN, front_matter=FrontMatterSchema(path="s.json", text=SCHEMA),
    grounded=Grounded(brief="a 12"),
)  # fmt: skip
BITS = st.sampled_from(["a", "`", "[", "](", ")", "<", ">", "{{", "}}", "#", "\n", " ", "\0", "\ud800", "x y", "TODO:"])
JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.lists(BITS | st.text(max_size=5), max_size=30).map("".join), st.text(), st.dictionaries(st.text(), JSON))
def test_no_text_makes_a_check_raise(body: str, title: str, front: Mapping[str, Any]) -> None:
    """Whatever a model or a server sends, and whatever a person keeps in front matter."""
    text = CheckedText(title=title, body=body, front=front, output="a/b.md", key_lines=dict.fromkeys(front, 2))
    for finding in check_text(EVERY, text, lambda _: False):
        assert finding.message
        assert 0 <= finding.line <= body.count("\n") + 2


@pytest.mark.parametrize("bit", ["# a\n\n" + "word [x](y) `z " * 26 + "\n", "`", "](", "<a", "[your ", " \t"])
def test_half_a_megabyte_is_checked_in_linear_time(bit: str, processor_time: Clock) -> None:
    """A long text takes a moment, whatever it repeats; in the square of its length it would take hours."""
    body = bit * (500_000 // len(bit))
    quick = structs.replace(EVERY, matches=listed("^a"), not_matches=None)
    before = processor_time()
    findings = check_text(quick, CheckedText(title="t", body=body, front={"tags": []}), lambda _: False)
    assert processor_time() - before < 8
    assert len(findings) < 100


def test_a_pattern_that_takes_too_long_is_given_up() -> None:
    """A repetition inside a repetition would run for years."""
    (finding,) = findings_in("a" * 5_000 + "b", matches=listed("(a+)+$"))
    assert "takes more than 1 s" in finding.message
    assert finding.level is Level.BLOCK


@pytest.mark.parametrize("schema", ['{"$ref":"#"}', '{"$ref":"#/$defs/none"}', '{"pattern":"(a+)+$"}'])
def test_a_schema_that_cannot_be_applied_is_a_finding(schema: str) -> None:
    """It refers to itself for ever, or to what does not exist."""
    text = CheckedText(title="", body="", front={"a": 1})
    findings = check_text(Checks(front_matter=FrontMatterSchema(path="s.json", text=schema)), text, bool)
    assert [each.check for each in findings] == ([] if "pattern" in schema else ["front_matter"])


def doubled(*parts: str, last: str = "true") -> str:
    """A schema in which each level refers to the next one in every one of some ways; `NEXT` is its name."""
    names = [f'"a{n}":{{{",".join(parts).replace("NEXT", f"#/$defs/a{n + 1}")}}}' for n in range(30)]
    return f'{{"$defs":{{{",".join(names)},"a30":{last}}},"$ref":"#/$defs/a0"}}'


TWICE = '"allOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]'
NESTED = '{"unevaluatedProperties":{},"allOf":[' * 30 + "{}" + "]}" * 30
HOSTILE_SCHEMAS = {
    "doubled": doubled(TWICE),
    "doubled, and wrong": doubled(TWICE, last="false"),
    "by one of two": doubled('"anyOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]', last="false"),
    "by two references": doubled('"$ref":"NEXT","$dynamicRef":"NEXT"'),
    "where `$schema` is stated again": doubled(TWICE, '"$schema":"https://json-schema.org/draft/2020-12/schema"'),
    "nested without a reference": NESTED,
    "the front matter itself": '{"$defs":{"a":{"additionalProperties":{"allOf":[{"$ref":"#/$defs/a"},'
    '{"$ref":"#/$defs/a"}]}}},"$ref":"#/$defs/a"}',
    "a pattern for keys": '{"propertyNames":{"pattern":"(a+)+$"}}',
    "a pattern for some keys": '{"propertyNames":{"pattern":"(a|a)+$"},"additionalProperties":false}',
    "lists without equal parts": '{"properties":{"list":{"uniqueItems":true}}}',
    "a long list": '{"properties":{"list":{"items":{"enum":[' + ",".join(f"[{n}]" for n in range(4_000)) + "]}}}}",
}
DEEP: Any = json.loads('{"a":' * 30 + "{}" + "}" * 30)


@pytest.mark.parametrize("schema", HOSTILE_SCHEMAS.values(), ids=HOSTILE_SCHEMAS)
def test_a_schema_is_given_up_after_some_steps(schema: str, processor_time: Clock) -> None:
    """Two kilobytes of it would keep a processor busy for years; the keys come from the same stranger as a pattern."""
    assert schema_problem(schema) == ""
    front = {"deep": DEEP, "list": [[9_999 + n] for n in range(4_000)], "a" * 5_000 + "b": 1}
    text = CheckedText(title="", body="", front=front)
    before = processor_time()
    findings = check_text(Checks(front_matter=FrontMatterSchema(path="s.json", text=schema)), text, bool)
    assert processor_time() - before < 20
    given_up = "^the schema is too slow|^[0-9,]+ more places|takes more than 0.01 s"
    assert [one for one in findings if re.search(given_up, one.message)]
    assert len(findings) < 100


def test_a_schema_may_refer_to_its_parts_often() -> None:
    """What people write is far from the limit: sixty keys of twenty kinds, and lists."""
    kinds = {f"k{n}": {"type": "array", "items": {"pattern": "^[a-z]+$"}, "uniqueItems": True} for n in range(20)}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": kinds,
        "properties": {f"key{n}": {"$ref": f"#/definitions/k{n % 20}"} for n in range(60)},
        "additionalProperties": False,
    }
    text = json.dumps(schema)
    front: dict[str, Any] = {f"key{n}": ["one", "two", "three", "one"] for n in range(60)} | {"x": True}
    assert schema_problem(text) == ""
    errors = list(schema_errors(text, front))
    assert len(errors) == 61
    assert errors[-1] == ((), "Additional properties are not allowed ('x' was unexpected)")


@pytest.mark.parametrize(("schema", "problem"), [
    ('{"allOf":[{"patternProperties":{"(a+)+$":{}}}]}', "has `patternProperties`"),
    ('{"enum":[' + "[0]," * 600_000 + "1]}", "is too large"),
    ('{"$schema":"http://json-schema.org/draft-04/schema#","enum":[1,true,{"a":1},{"a":1}]}', "is not a JSON Schema"),
])  # fmt: skip
def test_a_schema_that_cannot_be_bounded_is_refused(schema: str, problem: str, processor_time: Clock) -> None:
    """When it is read, by its name."""
    before = processor_time()
    assert schema_problem(schema).startswith(problem)
    assert processor_time() - before < 20


def test_a_pattern_says_what_is_wrong_with_it() -> None:
    """In the words of the engine, and not for hours."""
    assert isinstance(compiled("("), str)
    assert isinstance(compiled("a" * 2_000), str)
    assert not isinstance(compiled("a{1,3}"), str)


SETTINGS = PROJECT.replace("general}", "general, checks: {CHECKS}}")


def test_checks_come_in_layers(project: Build) -> None:
    """Maps merge, lists replace, a null takes away; both forms of a list mean the same."""
    settings = "words: {min: 100}, links: warn, contains: [Acme], commands: ['vale --output=line']"
    manifest = (
        "defaults: {checks: {words: {max: 900}, leftovers: block}}\n"
        "vars: {brand: Acme}\n"
        "items:\n"
        "  - {id: one, inputs: {topic: one}}\n"
        "  - {id: two, inputs: {topic: two}, checks: {words: {level: warn}, links: null, retries: 2, "
        "contains: {values: ['{{ brand }} Inc'], level: warn}}}\n"
        "  - {id: none, inputs: {topic: x}, checks: null}\n"
    )
    root = project({"contentops.yaml": SETTINGS.replace("CHECKS", settings), "content/a.yaml": manifest})
    checks = {str(spec.id): spec.checks for spec in desired(root).specs}
    assert checks["one"] == Checks(
        words=WordLimits(min=100, max=900), contains=listed("Acme"), leftovers=Level.BLOCK, links=Level.WARN,
        commands=listed("vale --output=line"),
    )  # fmt: skip
    assert checks["two"] == Checks(
        words=WordLimits(min=100, max=900, level=Level.WARN), contains=listed("Acme Inc", level=Level.WARN),
        leftovers=Level.BLOCK, commands=listed("vale --output=line"), retries=2,
    )  # fmt: skip
    assert checks["none"] == NO_CHECKS


@pytest.mark.parametrize(("checks", "expected"), [
    ("{commands: [vale]}", "error[command-in-manifest] content/a.yaml:1:48 <commands> item `one`: `checks.commands`"),
    ("{matches: ['(']}", "error[bad-pattern] content/a.yaml:1:57 <[>"),
    (f"{{matches: [{', '.join(map(chr, range(0x100, 0x165)))}]}}", "error[wrong-value] content/a.yaml:1:"),
    ("{words: {min: 9, max: 2}}", "error[wrong-value] content/a.yaml:1:"),
    ("{words: {min: '{{ \"x\" }}'}}", "error[wrong-type] content/a.yaml:1:"),
    ("{words: {min: -1}}", "error[wrong-value] content/a.yaml:1:"),
    ("{retries: 11}", "error[wrong-value] content/a.yaml:1:"),
    ("{retries: '{{ 11 }}'}", "error[wrong-value] content/a.yaml:1:"),
    ("{contains: Acme}", "error[wrong-type] content/a.yaml:1:"),
    ("{contains: ['{{ 1 }}']}", "error[wrong-type] content/a.yaml:1:"),
    ("{contains: {level: warn}}", "error[missing-key] content/a.yaml:1:"),
    ("{contain: [Acme]}", "error[unknown-key] content/a.yaml:1:48 <contain> item `one`: unknown key `contain`"),
    ("{leftovers: true}", "error[wrong-value] content/a.yaml:1:"),
    ("{front_matter: none.json}", "error[bad-schema] content/a.yaml:1:"),
    ("{front_matter: text.json}", "error[bad-schema] content/a.yaml:1:"),
    ("{front_matter: far.json}", "error[bad-schema] content/a.yaml:1:"),
    ("{front_matter: {schema: wrong.json, level: warn}}", "error[bad-schema] content/a.yaml:1:"),
    ("{front_matter: ../../x.json}", "error[bad-schema] content/a.yaml:1:"),
    ("{front_matter: {level: warn}}", "error[missing-key] content/a.yaml:1:"),
    ("'{{ {\"commands\": [1]} }}'", "error[wrong-type] content/a.yaml:1:"),
])  # fmt: skip
def test_checks_that_cannot_be_used_are_refused(project: Build, checks: str, expected: str) -> None:
    """Each once, at its place."""
    schemas: dict[str, str | bytes] = {
        "text.json": "no JSON", "far.json": '{"properties": {"a": {"$ref": "https://example.org/s.json"}}}',
        "wrong.json": '{"properties": {"a": {"pattern": "("}}}',
    }  # fmt: skip
    root = declared(project, f"items: [{{id: one, inputs: {{topic: x}}, checks: {checks}}}]\n", schemas)
    (line,) = lines(findings(root))
    assert line.startswith(expected), line


@pytest.mark.parametrize("command", ["'vale {{ item.id }}'", "'vale {% raw %}'", "'vale \"x'", "'  '"])
def test_a_command_is_a_program_and_its_arguments(project: Build, command: str) -> None:
    """No variable of a manifest can become part of it."""
    for form in (f"commands: [{command}]", f"commands: {{values: [{command}], level: warn}}"):
        root = project({"contentops.yaml": SETTINGS.replace("CHECKS", form), "content/a.yaml": "items: []\n"})
        (line,) = lines(findings(root))
        assert line.startswith("error[bad-command] contentops.yaml:4:")
