"""YAML with positions: what scalars mean, where things were written, and what hostile files get."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from msgspec import structs

from contentops.errors import Diagnostic, Location, Severity
from contentops.yaml import read
from contentops.yaml.positions import Seq, Source, StopReading, YamlDocument, events_of, finding
from contentops.yaml.read import masked, read_yaml


def value_of(text: str) -> Any:
    """The root of a text that has no findings."""
    document, findings = read_yaml("a.yaml", text.encode())
    assert findings == []
    return document.root


def findings_of(text: str | bytes) -> list[Diagnostic]:
    """The findings of a text."""
    data = text.encode() if isinstance(text, str) else text
    return read_yaml("a.yaml", data)[1]


def only(text: str | bytes) -> Diagnostic:
    """The one finding of a text."""
    (problem,) = findings_of(text)
    return problem


def position_of(problem: Diagnostic) -> tuple[int, int, int]:
    """Line, column and width of a finding."""
    assert problem.location is not None
    assert problem.location.file == "a.yaml"
    return problem.location.line, problem.location.column, problem.width


def underlined(problem: Diagnostic) -> str:
    """The part of the source line that the caret line underlines."""
    _, column, width = position_of(problem)
    return problem.excerpt[column - 1 : column - 1 + width]


STAY_TEXT = """
    nUll yes no on off y 012 -012 00 012.5 -0x1F 0b1 1_000 1:30 12:30:45 2026-03-01 2026-03-01T10:00:00Z 1.2.3
    e3 . + = ١٢ a#b http://x.y/z
"""
SCALARS: list[tuple[str, Any]] = [
    *((text, text) for text in STAY_TEXT.split()),
    *(("", None), ("~", None), ("null", None), ("Null", None), ("true", True), ("FALSE", False), ("0", 0)),
    *(("-0", 0), ("12", 12), ("+12", 12), ("-12", -12), ("0o17", 15), ("0x1F", 31), ("1.10", 1.1)),
    *((".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("1E-3", 0.001), ("-1.5e+2", -150.0), ("'12'", "12")),
    *(('"true"', "true"), ('"a\\tb\\u00e9"', "a\tbé"), ("!!str 12", "12"), ("! 12", "12"), ("!!seq [1]", [1])),
    ("!!map {a: 1}", {"a": 1}),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text or "empty" for text, _ in SCALARS])
def test_scalar_means_what_the_core_schema_says(text: str, value: Any) -> None:
    """Plain scalars follow YAML 1.2, `012` stays text, and quotes and core tags decide by themselves."""
    values = value_of(f"a: {text}\n")["a"]
    assert values == value
    assert type(values) is type(value) or isinstance(values, list)


@pytest.mark.parametrize(("text", "word"), [
    (".inf", "JSON"), ("-.INF", "JSON"), (".nan", "JSON"), ("1e999", "too large"), ("1" * 301, "301 digits"),
    ("1" * 5000, "5000 digits"), ("0x" + "f" * 400, "402 digits"),
], ids=["inf", "minus-inf", "nan", "overflow", "long", "longer-than-python-prints", "hexadecimal"])  # fmt: skip
def test_number_json_can_not_hold_is_refused(text: str, word: str) -> None:
    """A number that JSON cannot hold is an error at its position, and the rest of the file is still there."""
    document, (problem,) = read_yaml("a.yaml", f"a: {text}\nb: 2\n".encode())
    assert problem.code == "bad-number"
    assert word in problem.message
    assert position_of(problem)[:2] == (1, 4)
    assert (underlined(problem), document.root["b"]) == (text, 2)


@pytest.mark.parametrize(("text", "needle", "position"), [
    ("a: one {{ two }} three", "{{", (1, 8)), ('a: "one {{ two }} three"', "{{", (1, 9)),
    ('a: "tab\\tthen {{ two }}"', "{{", (1, 15)), ("a: 'it''s {{ two }}'", "{{", (1, 11)),
    ("a: |\n  one\n    {{ two }}\n", "{{", (3, 5)), ("a: >-\n  one\n  {{ two }}\n", "{{", (3, 3)),
    ("a: {{x}}".replace("{{x}}", "'{{x}} {{x}}'"), " {{", (1, 11)), ("a: one\n  {{ two }}", "{{", (2, 3)),
    ('a: "x \\"q"', '"q', (1, 9)), ('a: "x \\u0041\\u0042"\n', "AB", (1, 4)),
], ids=["plain", "double", "escape", "single", "literal", "folded", "second", "lines", "quote", "nowhere"])  # fmt: skip
def test_offset_points_into_a_text(text: str, needle: str, position: tuple[int, int]) -> None:
    """An offset is shown where that character was written, in every style of scalar; else (escapes) at the scalar."""
    document, findings = read_yaml("a.yaml", text.encode())
    assert findings == []
    offset = document.root["a"].index(needle) + (needle != needle.lstrip())
    assert position_of(finding(document, "x", "y", ("a",), offset=offset))[:2] == position


def test_excerpts_and_messages_hold_no_terminal_escapes_and_no_secrets() -> None:
    """Control characters become replacement characters, column for column; a secret becomes stars, or is left out."""
    problem = only("a: \x1b[31m\n")
    assert problem.excerpt == "a: \ufffd[31m"
    assert position_of(problem) == (1, 4, 1)
    twice = findings_of('"\\e": 1\n"\\e": 2\n')
    assert all("\x1b" not in problem.message for problem in twice)
    secret = Diagnostic(code="x", message="y", excerpt="api_key: sk-123", location=Location("a", 1, 1))
    assert masked(Source("a", secret.excerpt), secret).excerpt == "api_key: ******"
    other = structs.replace(secret, excerpt="keys: sk-123")
    assert masked(Source("a", other.excerpt), other) is other
    long = only('{a: "' + "x" * 20_000 + '", key: !!int sk-1234567890}')
    assert "sk-1234567890" not in long.message + long.hint + long.excerpt


def test_anchors_and_merge_keys_are_read() -> None:
    """An alias is the same value again; `<<` fills in what a map does not say, the first source first."""
    text = """\
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
one: {<<: *base, b: 9}
two:
  b: 8
  <<: [*other, *base]
same: *base
k: &k word
w: *k
&name key: 1
n: *name
quoted: {"<<": 5}
"""
    root = value_of(text)
    assert (root["one"], root["two"]) == ({"a": 1, "b": 9}, {"b": 8, "c": 4, "a": 1})
    assert root["same"] is root["base"]
    assert (root["w"], root["key"], root["n"]) == ("word", 1, "key")
    assert root["quoted"] == {"<<": 5}
    document = read_yaml("a.yaml", text.encode())[0]
    assert [mark_at(document, "one", key, key=True) for key in ("b", "a")] == [(3, 18), (1, 14)]
    assert mark_at(document, "two", "c") == (2, 25)
    assert mark_at(document, "same") == (7, 7)


def bomb(levels: int) -> str:
    """Nine aliases of nine aliases of nine ..."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


MANY_KEYS = "{" + ", ".join(f"k{n}: 1" for n in range(20_000)) + "}"


@pytest.mark.parametrize(("text", "code"), [
    pytest.param(bomb(9), "too-many-aliases", id="aliases"),
    pytest.param("a: " + "{<<: " * 60 + MANY_KEYS + "}" * 60, "too-many-aliases", id="merges"),
    pytest.param("[" * 150 + "]" * 150, "too-deep", id="lists"),
    pytest.param("- " * 150, "too-deep", id="dashes"),
    pytest.param("a: " + "{a: " * 150 + "}" * 150, "too-deep", id="maps"),
    pytest.param(f"a: &a {'[' * 60}{']' * 60}\nb: {'[' * 60}*a{']' * 60}", "too-deep", id="deep through an alias"),
    pytest.param(b"\xff" * (read.MAX_BYTES + 1), "file-too-large", id="a file that is not even decoded"),
])  # fmt: skip
def test_what_would_fill_memory_is_refused(text: str | bytes, code: str) -> None:
    """Nesting, the values that aliases and merges stand for, the size of a file and the values in it are bounded."""
    assert only(text).code == code
    assert findings_of(bomb(4)) == []
    with pytest.raises(StopReading) as caught:
        list(events_of(Source("a.yaml", "[1, 2, 3]"), limit=5))
    assert caught.value.finding.code == "too-many-values"


@pytest.mark.parametrize(("text", "code", "line", "column"), [
    *((f"a: {text}", "bad-tag", 1, 4) for text in ("!!int 1", "!!bool true", "!!null ~")),
    ("a: &x 1\nb: *y\n", "unknown-alias", 2, 4), ("a: &abc 1\nb: *abd\n", "unknown-alias", 2, 4),
    ("a: &x [*x]\n", "recursive-alias", 1, 8), ("a: &x 1\n*x : 2\n", "bad-key", 2, 1), ("<<: 3\n", "bad-merge", 1, 1),
    ("a: &x {b: 1}\nc: {<<: [*x, 3]}\n", "bad-merge", 2, 5),
    ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n", "duplicate-key", 4, 3), ("? [a]\n: b\n", "bad-key", 1, 3),
    ("{a: 1}: b\n", "bad-key", 1, 1), ("?\n: b\n", "empty-key", 1, 2), ("a: 1\n---\nb: 2\n", "several-documents", 2, 1),
    ("a: 1\n---\n", "several-documents", 2, 1), ("{{ name }}: 1\n", "bad-key", 1, 1),
    ('a: "\\Uffffffff"', "yaml-syntax", 1, 0), ('a: "\\U00110000"', "yaml-syntax", 1, 0),
    ("a: !%ff x", "yaml-syntax", 1, 0), ("a: !<%C0> x", "yaml-syntax", 1, 0),
], ids=repr)  # fmt: skip
def test_what_cannot_be_a_value_is_refused(text: str, code: str, line: int, column: int) -> None:
    """Tags, aliases, merges, keys, documents and escapes that make no sense are one finding at their position.

    The column 0 stands for any: the parsers stop at different characters.
    """
    problem = only(text)
    assert problem.code == code
    at = position_of(problem)
    assert at[:2] == (line, column or at[1])


@pytest.mark.parametrize(("text", "position", "first"), [
    ("a: 1\nb: 2\na: 3\n", (3, 1), "line 1, column 1"),
    ("x:\n  - {a: 1, a: 2}\n", (2, 12), "line 2, column 6"),
    ("1: a\n'1': b\n", (2, 1), "line 1, column 1"),
    ("a: {b: 1}\na: {b: 1}\n", (2, 1), "line 1, column 1"),
    ("items: []\nitems: [\n", (2, 1), "line 1, column 1"),
], ids=["block", "flow", "number-and-text", "maps", "before a broken value"])  # fmt: skip
def test_duplicate_key_names_both_places(text: str, position: tuple[int, int], first: str) -> None:
    """A key that appears twice is an error at the second, which names the first; the first value stays."""
    problem = next(problem for problem in findings_of(text) if problem.code == "duplicate-key")
    assert position_of(problem)[:2] == position
    assert first in problem.message


@pytest.mark.parametrize(("data", "code", "line", "column"), [
    ("a: ä".encode("utf-16"), "not-utf8", 1, 1), (b"\xfe\xff\x00a", "not-utf8", 1, 1),
    ("a: 1\nb: äx".encode("latin-1"), "not-utf8", 2, 4), (b"\xef\xbb\xbfa: \xff", "not-utf8", 1, 4),
    (b"a: \xed\xa0\x80", "not-utf8", 1, 4), (b"a: 1\nb: x\x00y", "control-character", 2, 5),
    (b"a: \x1b[0m", "control-character", 1, 4), (b"a: \x7f", "control-character", 1, 4),
    ("a: x\u2028b: y".encode(), "control-character", 1, 5), ("a: x\x85b: y".encode(), "control-character", 1, 5),
    ("a: \ufffe".encode(), "control-character", 1, 4), (b'a: "\\0"', "control-character", 1, 4),
    (b'a: "x\\e[0m"', "control-character", 1, 4), (b'"\\e": 1', "control-character", 1, 1),
], ids=lambda value: repr(value)[:30])  # fmt: skip
def test_unreadable_characters_are_refused_with_their_place(data: bytes, code: str, line: int, column: int) -> None:
    """Files that are not clean UTF-8 text are errors that say where; the hint for half a character has the whole one."""
    problem = only(data)
    assert problem.code == code
    assert position_of(problem)[:2] == (line, column)
    assert only('a: "\\ud800"\n').code in {"control-character", "yaml-syntax"}
    assert "remove it" in only('a: "\\udc00x"\n').hint
    assert "`\U0001f600`, or `\\U0001F600`" in only('a: "\\ud83d\\ude00"\n').hint


def test_endless_problems_end() -> None:
    """After a thousand problems the rest of a file is not read."""
    findings = findings_of("a: 1\n" * 5000)
    assert (len(findings), findings[-1].code) == (read.MAX_FINDINGS + 1, "too-many-findings")


TRAPS: list[tuple[str, str, tuple[int, int], str, str]] = [
    ("jinja-word", "a: {{ x }}\n", (1, 4), "unquoted", '`"{{ x }}"`'),
    ("jinja-then-text", "a: {{ x }} foo # c\n", (1, 4), "unquoted Jinja", '`"{{ x }} foo"`'),
    ("jinja-filter", 'a: {{ x | join(", ") }}\n', (1, 4), "unquoted Jinja", "`'{{ x | join(\", \") }}'`"),
    ("jinja-index", "a: {{ x.y[0] }}\nb: 1\n", (1, 4), "unquoted Jinja", '`"{{ x.y[0] }}"`'),
    ("jinja-block", "a: {% if x %}y{% endif %}\n", (1, 4), "unquoted Jinja", '`"{% if x %}'),
    ("jinja-colon", "- t: About {{ x }}: b\n", (1, 6), "unquoted Jinja", '`"About {{ x }}: b"`'),
    ("jinja-in-list", "- {{ x }} y\n", (1, 3), "unquoted Jinja", '`"{{ x }} y"`'),
    ("second-colon", "title: Part 1: intro\n", (1, 14), "second `: `", '`"Part 1: intro"`'),
    ("at", "a: @brand\n", (1, 4), "cannot start with `@`", '`"@brand"`'),
    ("percent", "a: %x\n", (1, 4), "cannot start with `%`", '`"%x"`'),
    ("backtick", "a: `x`\n", (1, 4), "cannot start with a backtick", "quotes"),
    ("asterisk", "a: *\n", (1, 4), "cannot start with `*`", '`"*"`'),
    ("tab", "a:\n\tb: 1\n", (2, 1), "tab", "spaces"),
    ("tab-in-block", "a: >\n\tfoo\n", (2, 1), "tab", "spaces"),
    ("indentation", "a: 1\n  b: 2\n", (2, 3), "indentation", "line it up"),
    ("dedent", "a:\n    b: 1\n  c: 2\n", (3, 3), "indentation", "line it up"),
    ("no-space", "key:value\nb: 1\n", (1, 1), "space is missing", "key: value"),
    ("no-colon", "a: 1\nword\n", (2, 1), "neither", "several lines"),
    ("no-colon-space", "a: 1\nb:2\n", (2, 1), "neither", "space after the colon"),
    ("inner-quote", "a: 'it's'\n", (1, 8), "closing quote", "double the quote"),
    ("inner-quote-2", 'a: "is "x""\n', (1, 9), "closing quote", 'in single quotes, or write the quote inside it as `\\"`'),
    ("open-quote", "a: 'x\nb: 1\n", (1, 4), "never closed", "closing quote"),
    ("open-bracket", "a: [1, 2\nb: 1\n", (2, 2), "bracket opened at line 1, column 4", "close it"),
    ("extra-bracket", "a: [1]]\n", (1, 7), "does not belong in this line", "quotes"),
    ("escape", 'a: "\\q"\n', (1, 5), "escape", "single quotes"),
    ("list-in-line", "a: - b\n", (1, 4), "list cannot start", "next line"),
    ("mixed", "a:\n  - b\n  c: d\n", (3, 3), "not an entry of the list that starts at line 2", "`- `"),
    ("after-end", "a: 1\n...\nb\n", (3, 1), "end of the document", "a file has one"),
    ("quote-above", 'a: "x\nb: {t: "y"}\n', (1, 4), "not closed before line 2, column 8", "closing quote"),
    ("quote-above-in-key", 'a:\n  - "x: 1\n    "y": 2\n', (2, 5), "not closed before line 3, column 5", '`\\"`'),
    ("quote-above-in-braces", "a: {b: 'x\n  c: it's}\n", (1, 8), "not closed before line 2, column 8", "`''`"),
    ("quote-above-in-quotes", 'a: "x\nb: ""\nc: 1\n', (1, 4), "not closed before line 2, column 4", "closing quote"),
    ("dash-before-id", "a:\n  - id: b\n  id: c\n", (3, 3), "`- ` is missing before `id`", "`- id: ...`"),
    ("dash-of-the-first", "a:\n  id: b\n  - id: c\n", (3, 3), "indentation", "the first one too"),
    ("no-value", "a: {b: ?c}\n", (1, 8), "a value is missing before `?`", "quotes"),
    ("question-key", "a: { ?foo: bar }\n", (1, 6), "start with `?`", "quotes"),
    ("question-later", "foo: 1\na: {b: c, ?foo: bar}\n", (2, 11), "start with `?`", "quotes"),
    ("question-in-list", "a: [b, ?foo]\n", (1, 8), "start with `?`", "quotes"),
    ("anchor-colon", "a: &an:chor b\n", (1, 4), "start with `&`", "letters"),
    ("other", "a: ? b\n", (1, 4), "not valid YAML", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "position", "message", "hint"), [trap[1:] for trap in TRAPS], ids=[trap[0] for trap in TRAPS]
)
def test_syntax_error_is_explained_where_it_is(text: str, position: tuple[int, int], message: str, hint: str) -> None:
    """The usual traps are one finding each: the place to change, what is wrong, what to write instead."""
    problem = only(text)
    assert position_of(problem)[:2] == position
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(("text", "value"), [
    ("a: 'x\ty' # c\td\n", {"a": "x\ty"}),
    ("# c\td\na: |\n  x\ty\n  # z\tw\n", {"a": "x\ty\n# z\tw\n"}),
    ("a:\tx\ty\t# c\n", {"a": "x\ty"}),
    ("a: {? foo : bar}\n", {"a": {"foo": "bar"}}),
    ("x: '?'\na: &b-1 c\nd: [*b-1]\ne: &f [1]\n", {"x": "?", "a": "c", "d": ["c"], "e": [1]}),
    ("x: '&y:'\na: &b\n  c: !!str &e d\nf: &g\n  - h\n", {"x": "&y:", "a": {"c": "d"}, "f": ["h"]}),
    ("a: why, ?foo &b;c\nd: '{ ?x &y:z'\n", {"a": "why, ?foo &b;c", "d": "{ ?x &y:z"}),
])  # fmt: skip
def test_tabs_and_signs_inside_texts_are_read(text: str, value: Any) -> None:
    """They are as good as any character there."""
    assert value_of(text) == value


def test_unquoted_jinja_is_reported_everywhere() -> None:
    """Each unquoted expression that YAML could read is reported, and its text is used for what follows."""
    document, findings = read_yaml("a.yaml", b'a: {{ x }}\nb: [{{ y }}, {c: {{ z }}}]\nd: &d {{ "q" }}\ne: *d\n')
    assert [problem.code for problem in findings] == ["unquoted-jinja"] * 4
    assert document.root == {"a": "{{ x }}", "b": ["{{ y }}", {"c": "{{ z }}"}], "d": '{{ "q" }}', "e": '{{ "q" }}'}
    assert findings[3].hint == "put the text in quotes"


texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufffe\uffff"), max_size=20
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(values)
def test_json_reads_as_itself(value: Any) -> None:
    """JSON is YAML: what is written as JSON comes back as it was, with a place for everything."""
    hypothesis.assume(value is not None)
    written = json.dumps({"a": value}, ensure_ascii=False, indent=1)
    document = read_yaml("a.json", written.encode())[0]
    assert document.root == {"a": value}
    assert_places(document, document.root)


def assert_places(document: YamlDocument, node: Any, *pointer: str | int) -> None:
    """Every member of every map and list has its place, at which it is written."""
    line, column = mark_at(document, *pointer)
    rest = document.source.line(line)[column - 1 :]
    if isinstance(node, dict):
        assert rest[0] == "{"
        for key, entry in node.items():
            at, start = mark_at(document, *pointer, key, key=True)
            assert document.source.line(at)[start - 1 :].startswith(json.dumps(key, ensure_ascii=False))
            assert_places(document, entry, *pointer, key)
    elif isinstance(node, list):
        assert rest[0] == "["
        if isinstance(node, Seq):
            assert node.positions == [mark_at(document, *pointer, index) for index in range(len(node))]
        for index, entry in enumerate(node):
            assert_places(document, entry, *pointer, index)
    else:
        assert rest.startswith(json.dumps(node, ensure_ascii=False))


def mark_at(document: YamlDocument, *pointer: str | int, key: bool = False) -> tuple[int, int]:
    """Line and column of a value, or of its key."""
    location = finding(document, "here", "", pointer, key=key).location
    assert location is not None
    return location.line, location.column


@hypothesis.given(
    st.text(st.sampled_from("ab:{}[]-&*!#|>'\"%@`,? \n\t~<1.\u00e9\ud7ff"), max_size=40), st.binary(max_size=40)
)
def test_any_text_gives_a_value_or_findings(text: str, data: bytes) -> None:
    """Whatever stands in a file, also bytes, reading it raises nothing; each finding of a text points into the file."""
    document, findings = read_yaml("a.yaml", data)
    assert all(problem.severity is Severity.ERROR for problem in findings)
    document, findings = read_yaml("a.yaml", text.encode())
    source = Source("a.yaml", text)
    for problem in findings:
        line, column, width = position_of(problem)
        assert 1 <= line <= source.line_count
        assert 1 <= column <= len(source.line(line)) + 1
        assert width >= 1
        assert problem.message == problem.message.strip()
        assert not problem.message.endswith(".")
    if document.root is not None and not findings:
        json.dumps(document.root, allow_nan=False).encode()


@pytest.mark.parametrize("written", [
    'api: {base_url: "https://me:SECRET@host/x", key_env: X]', "ledger: postgresql://u:SEC/RET@h/d: x",
    "api:\n  token:\n\tSECRET", "api key: SECRET: b", "private_key: SECRET: b", "client_credentials: SECRET: b",
    "passphrase: SECRET: b", "db_pwd: SECRET: b",
])  # fmt: skip
def test_a_secret_in_a_line_that_cannot_be_read_is_not_shown(written: str) -> None:
    """Whichever of several secrets it is, and however its name and its indentation are written."""
    secret = "hunter2Planted"
    text = written.replace("SECRET", secret).replace("SEC/RET", f"{secret[:7]}/{secret[7:]}")
    _, findings = read_yaml("contentops.yaml", f"{text}\n".encode())
    assert findings
    said = " ".join(f"{one.message} {one.excerpt} {one.hint}" for one in findings)
    assert not any(secret[at : at + 5] in said for at in range(len(secret) - 4)), said
