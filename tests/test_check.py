import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.paths import check_output
from contentops.errors import Severity
from tests.desired import PROJECT, declared, desired, findings, lines
from tests.running import Build, Run


def single(project: Build, keys: str, *, name: str = "one") -> Path:
    """A project with one item."""
    return declared(project, f"items:\n  - {{id: {name}, {keys}}}\n")


@pytest.mark.parametrize(("path", "words"), [
    ("", "is empty"), ("/a", "is absolute"), ("~/a", "starts with `~`"), ("a\\b", "backslash"),
    ("a//b", "an empty folder or file name"), ("a/", "an empty folder or file name"), ("a/../b", "leaves its folder"),
    ("..", "leaves its folder"), ("./a", "leave it out"), (".git/x", "starts with a dot"),
    ("a/.hidden", "starts with a dot"), ("a /b", "starts or ends with a space"), (" a", "starts or ends with a space"),
    ("a\u00a0", "starts or ends with a space"), ("a./b", "ends with a dot"), ("c:/x", "contains `:`"),
    ("what?.md", "contains `?`"), ("a<b", "contains `<`"), ("a|b", "contains `|`"), ("CON", "reserves for a device"),
    ("a/nul.md", "reserves for a device"), ("Com1.tar.gz", "reserves for a device"), ("lpt¹", "reserves for a device"),
    ("aux .md", "reserves for a device"), ("git~1/x.md", "short forms of long names"),
    ("a/GIT~2", "short forms of long names"), ("GITMOD~1", "short forms of long names"),
    ("progra~1.md", "short forms of long names"), ("a\nb", "U+000A"), ("a\x00", "U+0000"), ("a\u202eb", "U+202E"),
    ("a\u200bb", "U+200B"), ("a\ud800b", "U+D800"), ("a\u2028b", "U+2028"), ("é" * 128, "longer than 255 bytes"),
    ("/".join(["a" * 100] * 11), "longer than 1000 bytes"),
])  # fmt: skip
def test_paths_that_are_refused(path: str, words: str) -> None:
    """What points outside the project, hides, or cannot be checked out somewhere, with the reason."""
    assert words in (check_output(path) or "")


@given(st.text(max_size=40))
def test_accepted_paths_stay_inside(path: str) -> None:
    """No accepted path has a part that climbs, hides, or is empty, and each can be encoded."""
    if check_output(path) is None:
        parts = path.encode().decode().split("/")
        assert all(part and not part.startswith(".") and part == part.strip() and "\\" not in part for part in parts)


@pytest.mark.parametrize(("first", "second", "expected"), [
    ("x.md", "x.md", "item `two` writes `x.md`, which item `one` writes already (declared at content/a.yaml:2:23)"),
    ("x.md", "X.MD", "item `two` writes `X.MD`, which is `x.md` of item `one` if case and accents are ignored"),
    ("é.md", "e\u0301.md", "if case and accents are ignored"),
    ("straße.md", "STRASSE.md", "if case and accents are ignored"),
    ("x.md", "Content/B.YAML", "would then be read as a manifest: `manifests` names `content/**/*.yaml`"),
    ("x", "x/y.md", "item `two` writes `x/y.md`, but its folder `x` is the output of item `one`"),
    ("a/X/b/c", "A/x", "item `two` writes `A/x`, but that is also the folder of `a/X/b/c`, the output of item `one`"),
])  # fmt: skip
def test_outputs_that_collide(project: Build, first: str, second: str, expected: str) -> None:
    """Two items never write one file, nor a file where the other needs a folder."""
    text = (
        f'items:\n  - {{id: one, output: "{first}", inputs: {{topic: x}}}}\n'
        f'  - {{id: two, output: "{second}", inputs: {{topic: x}}}}\n'
    )
    root = declared(project, text)
    [problem] = findings(root)
    assert (problem.code, expected in problem.message) == ("output-collision", True)
    assert problem.location is not None
    start = problem.location.column - 1
    assert problem.excerpt[start : start + problem.width] in (f'"{first}"', f'"{second}"')


@pytest.mark.parametrize(("output", "expected"), [
    ("content/A.yaml", "but `content/a.yaml` is an input file of the project"),
    ("content/a.yaml/x.md", "but `content/a.yaml` is an input file of the project"),
    ("content", "but that is also the folder of `content/a.yaml`, which is an input file of the project"),
    ("Rows.csv", "but `rows.csv` is an input file of the project"),
    ("contentops.yaml", "a name contentops keeps for its own files"),
    ("contentops.lock", "a name contentops keeps for its own files"),
    ("contentops.lock/x.md", "a name contentops keeps for its own files"),
])  # fmt: skip
def test_outputs_never_land_on_the_project(project: Build, output: str, expected: str) -> None:
    """Manifests, data files, the project file and locks are not overwritten."""
    text = (
        f"items:\n  - {{id: one, output: {output}, inputs: {{topic: x}}}}\n"
        "  - {id: 'r{{ each.k }}', for_each: rows.csv, inputs: {topic: x}}\n"
    )
    root = declared(project, text, {"rows.csv": "k\n1\n"})
    assert expected in "".join(problem.message for problem in findings(root))


TEMPLATED = "vars: {five: 5, yes: 'true', list: [a], none: null, map: {a: 1}, empty: '', t: true}\n"


@pytest.mark.parametrize(("keys", "expected"), [
    ("template: '{{ five }}'", "error[wrong-type] <'{{ five }}'> `template` must be a text, not the number `5` (hint: put it in quotes, or convert it: `{{ each.column | string }}`)"),
    ("style: '{{ empty }}'", "error[wrong-value] <'{{ empty }}'> `style` is an empty text (hint: give it a value, or remove the key)"),
    ("mode: '{{ \"fast\" }}'", "error[wrong-value] <'{{ \"fast\" }}'> `mode` must be `quick`, `standard` or `premium`, not the text `fast`"),
    ("mode: '{{ \"premuim\" }}'", "error[wrong-value] <'{{ \"premuim\" }}'> `mode` must be `quick`, `standard` or `premium`, not the text `premuim` (hint: did you mean `premium`?)"),
    ("mode: '{{ five }}'", "error[wrong-value] <'{{ five }}'> `mode` must be `quick`, `standard` or `premium`, not the number `5`"),
    ("protected: '{{ yes }}'", "error[wrong-type] <'{{ yes }}'> `protected` must be `true` or `false`, not the text `true` (hint: write true or false without quotes; from a data file: `{{ each.column == \"true\" }}`)"),
    ("revision: '{{ t }}'", "error[wrong-type] <'{{ t }}'> `revision` must be a whole number or a text, not `true`"),
    ("revision: '{{ empty }}'", "error[wrong-value] <'{{ empty }}'> `revision` is an empty text"),
    ("tags: ['{{ five }}']", "error[wrong-type] <[> an entry of `tags` must be a text, not the number `5` (hint: put it in quotes, or convert it: `{{ each.column | string }}`)"),
    ("tags: ['{{ empty }}']", "error[wrong-value] <[> an entry of `tags` is an empty text"),
    ("tags: ['{{ none }}']", "error[wrong-type] <[> an entry of `tags` must be a text; it is empty"),
    ("output: '../{{ item.id }}'", "error[bad-output] <'../{{ item.id }}'> has the output `../one`, which leaves its folder with `..`"),
    ("output: \"{{ 'a\\u200bb' }}\"", "error[bad-output] <\"{{ 'a\\u200bb' }}\"> has the output `a\\u200bb`, which contains the invisible character U+200B"),
    ("metadata: {title: '{{ five }}'}", "error[wrong-type] <'{{ five }}'> `title` must be a text, not the number `5` (hint: put it in quotes, or convert it: `{{ each.column | string }}`)"),
    ("metadata: {title: '{{ empty }}'}", "error[wrong-value] <'{{ empty }}'> `title` is an empty text (hint: give it a value, or remove the key)"),
    ('metadata: {title: "\\u00a0\\u202e "}', 'error[wrong-value] <"\\u00a0\\u202e "> has an empty `metadata.title` (hint: leave the key out)'),
    ("metadata: {contentops: '{{ five }}'}", "error[reserved-key] <contentops> sets `metadata.contentops`"),
])  # fmt: skip
def test_types_after_rendering(project: Build, keys: str, expected: str) -> None:
    """What a template gave is checked like what was written, at the place of the template."""
    text = (
        TEMPLATED.replace("none: null, ", "")
        + f"items:\n  - {{id: one, inputs: {{topic: x}}, {keys.replace('none }}', 'none }}')}}}\n"
    )
    root = declared(project, text)
    [problem] = [line for line in lines(findings(root)) if line.startswith("error")]
    severity, _, rest = problem.partition(" ")
    place, _, rest = rest.partition(" ")
    assert place.startswith("content/a.yaml:3:")
    words = re.sub("item `one`:? ", "", rest)
    assert f"{severity} {words}".startswith(expected)


@pytest.mark.parametrize(("name", "words"), [
    ("'{{ \"\" }}'", "`id` is an empty text"), ("'a b{{ five }}'", "which contains a space"),
    ("'-a{{ five }}'", "which starts with `-`"), ("'a{{ five }}/'", "has an empty, `.` or `..` part"),
    ("'a{{ five }}/../b'", "has an empty, `.` or `..` part"), ("'a{{ five }}//b'", "has an empty, `.` or `..` part"),
    ("'a{{ five }}/./b'", "has an empty, `.` or `..` part"), ("'a{{ five }}:b'", "which contains `:`"),
    ('"a{{ five }}\\u200bb"', "contains the character U+200B"), ('"{{ five }}e\\u0301"', "not NFC"),
    ('"\\u0902{{ five }}"', "which starts with `\u0902`"),
    ('"a{{ five }}/\\u0902"', "contains the mark U+0902, without a letter"),
    ('"{{ five }}a\\ufe0f"', "contains the mark U+FE0F, which cannot be seen"),
    ('"{{ five }}\\u0915\\u200d"', "contains the character U+200D"),
    ('"{{ five }}\\u0915\\u093f b"', "contains a space"), ("'{{ \"a\" * 201 }}'", "is longer than 200 characters"),
    ("'{{ t }}'", "`id` must be a text, not `true`"),
])  # fmt: skip
def test_ids_that_are_refused(project: Build, name: str, words: str) -> None:
    """An id is a name for files, commands and locks: no spaces, no climbing, nothing that cannot be seen."""
    root = declared(project, f"vars: {{five: 5, t: true}}\nitems: [{{id: {name}, output: x, inputs: {{topic: x}}}}]\n")
    [problem] = [entry for entry in findings(root) if entry.severity == "error"]
    assert words in problem.message


@pytest.mark.parametrize(
    "name", ["a", "A1_b.c/d@e+f-g", "日本語", "ünïcode", "हिंदी", "भाषा/का-नाम", "ไทยที่นี่", "42", "'{{ 42 }}'"]
)
def test_ids_that_are_fine(project: Build, name: str) -> None:
    """Letters of any language; a number is as good as its digits."""
    name = "'42'" if name == "42" else name
    [spec] = desired(single(project, "inputs: {topic: x}, output: x.md", name=name)).specs
    assert spec.id == name.strip("'{} ")


def test_required_fields(project: Build) -> None:
    """Without template or style an item cannot be sent; the item is named, and where to say it."""
    root = project(
        {"contentops.yaml": "version: 1\nproject: a\n", "content/a.yaml": "items:\n  - id: one\n  - inputs: {}\n"}
    )
    problems = [line.partition("] ")[2] for line in lines(findings(root))]
    assert problems[:2] == [
        "content/a.yaml:2:5 <i> item `one` has no `style` (hint: set it on the item or under `defaults` (`contentops catalog list` shows them))",
        (
            "content/a.yaml:2:5 <i> item `one` has no `template` (hint: set it on the item or under `defaults` (`contentops catalog list` shows them); only items with `protected: true` may leave it out)"
        ),
    ]
    assert any("`id`" in line for line in problems[2:])


@pytest.mark.parametrize(("topic", "said"), [
    ("Coworking in {{ each.city }}", "each.city"), ("{{ each.city }}: a guide", "each.city"),
    ("Coworking in {{ city }}", "city"), ("{{ each.city }}", ""), ("{{ each.city }} {{ each.city }}", ""),
    ("Coworking {{ each.city or 'anywhere' }}", ""), ("Coworking{% if each.city %} in {{ each.city }}{% endif %}", ""),
])  # fmt: skip
def test_a_gap_between_words_is_a_warning(project: Build, topic: str, said: str) -> None:
    """A cell that was left empty makes half a sentence, which is paid for; what the author saw to is not pointed at."""
    manifest = f'items:\n  - {{id: "x{{{{ each.n }}}}", for_each: a.csv, vars: {{city: "{{{{ each.city }}}}"}}, inputs: {{topic: "{topic}", n: "{{{{ city }}}}"}}}}\n'
    root = declared(project, manifest, {"content/a.csv": "n,city\n1,\n2,Rome\n3, \n"})
    problems = [finding for finding in findings(root) if finding.code == "empty-between-words"]
    assert [one.severity for one in problems] == ([Severity.WARNING] if said else [])
    for one in problems:
        assert f"has no value for `{{{{ {said} }}}}` inside the text of `inputs.topic`; 1 more item" in one.message


@pytest.mark.parametrize(("keys", "expected"), [
    ("template: blgo, inputs: {topic: x}", "error[unknown-template] <blgo> names the template `blgo`, which is not in the catalog (hint: did you mean `blog`?)"),
    ("template: zzz", "error[unknown-template] <zzz> names the template `zzz`, which is not in the catalog (hint: there are `bare`, `blog`)"),
    ("style: genral, inputs: {topic: x}", "error[unknown-style] <genral> names the style `genral`, which is not in the catalog (hint: did you mean `general`?)"),
    ("vertical: leagl, inputs: {topic: x}", "error[unknown-vertical] <leagl> names the vertical `leagl`, which is not in the catalog (hint: did you mean `legal`?)"),
    ("inputs: {words: 1}", "error[missing-input] <inputs> does not set `topic`, which template `blog` needs (hint: add `topic` under `inputs`)"),
    ("mode: quick", "error[missing-input] <{> does not set `topic`, which template `blog` needs (hint: add `topic` under `inputs`)"),
    ("inputs: {topic: ' '}", "error[missing-input] <' '> has an empty `topic`, which template `blog` needs (hint: fill it in)"),
    ("inputs: {topic: x, audiance: y}", "error[unknown-input] <audiance> sets `audiance`, which template `blog` does not take (hint: did you mean `target_audience`?)"),
    ("inputs: {topic: x, zzz: y}", "error[unknown-input] <zzz> sets `zzz`, which template `blog` does not take (hint: there are `topic`, `target_audience`, `words`, `tone`, `size`, `channels`, `statistics`, `points`, `anything`)"),
    ("template: bare, inputs: {topic: x}", "error[unknown-input] <topic> sets `topic`, which template `bare` does not take (hint: it takes no inputs)"),
    ("inputs: {topic: x, audience: a, target_audience: b}", "error[duplicate-input] <target_audience> sets `audience` and `target_audience`, which set the same input of template `blog` (hint: keep `target_audience`)"),
    ("inputs: {topic: [a]}", 'error[wrong-input] <[> `topic` must be a text or a number, not a list (hint: write one text, or join it: `{{ list | join(", ") }}`)'),
    ("inputs: {topic: true}", "error[wrong-input] <true> `topic` must be a text or a number, not `true` (hint: put it in quotes"),
    ("inputs: {topic: {a: 1}}", "error[wrong-input] <{> `topic` must be a text or a number, not a map"),
    ("inputs: {topic: x, words: '5'}", "error[wrong-input] <'5'> `words` must be a number, not the text `5` (hint: convert it: `{{ each.column | int }}`, or write the number without quotes)"),
    ("inputs: {topic: x, words: 1_000}", "error[wrong-input] <1_000> `words` must be a number, not the text `1_000` (hint: write `1000`: with `_` it is text, not a number)"),
    ("inputs: {topic: x, words: true}", "error[wrong-input] <true> `words` must be a number, not `true`"),
    ("inputs: {topic: x, statistics: yes}", "error[wrong-input] <yes> `statistics` must be `true` or `false`, not the text `yes` (hint: write true or false without quotes"),
    ("inputs: {topic: x, tone: drry}", "error[wrong-input] <drry> `tone` must be `dry` or `warm`, not the text `drry` (hint: did you mean `dry`?)"),
    ("inputs: {topic: x, tone: 1}", "error[wrong-input] <1> `tone` must be `dry` or `warm`, not the number `1`"),
    ("inputs: {topic: x, size: [1]}", "error[wrong-input] <[> `size` must be a text or a number, not a list"),
    ("inputs: {topic: x, channels: web}", "error[wrong-input] <web> `channels` must be a list, not the text `web` (hint: write it as `[...]`)"),
    ("inputs: {topic: x, channels: [web, tv]}", "error[wrong-input] <[> an entry of `channels` must be `web`, `mail` or `3`, not the text `tv`"),
    ("inputs: {topic: x, channels: [true]}", "error[wrong-input] <[> an entry of `channels` must be `web`, `mail` or `3`, not `true`"),
    ("inputs: {topic: x, target_audience: {a: 1}}", "error[wrong-input] <{> `target_audience` must be a text or a number, not a map"),
    ("inputs: {topic: x, points: a}", "error[wrong-input] <a> `points` must be a list, not the text `a`"),
])  # fmt: skip
def test_against_the_catalog(project: Build, keys: str, expected: str) -> None:
    """Unknown names, missing and ill-typed inputs are found before a request is paid for."""
    [problem] = lines(findings(single(project, keys)))
    severity, _, rest = problem.partition(" ")
    words = re.sub("item `one`:? ", "", rest.partition(" ")[2])
    assert f"{severity} {words}".startswith(expected)


@pytest.mark.parametrize(("settings", "item", "warned"), [
    ("environments: {prod: {}, test: {}}", "id: a", True),
    ("environments:\n  prod:\n", "id: a", True),
    ("environments: {prod: {vars: {x: 1}}}", "id: a, output: '{{ item.id }}.md'", False),
    ("environments: {prod: {defaults: {mode: quick}}}\noutput: '{{ project }}/{{ item.id }}.md'", "id: a", True),
    ("environments: {prod: {output: 'p/{{ item.id }}.md'}}", "id: a", False),
    ("environments: {prod: {defaults: {output: 'p/{{ item.id }}.md'}}}", "id: a", False),
    ("environments: {prod: {manifests: ['content/*.yaml']}}", "id: a", False),
    ("environments: {prod: {}}\noutput: 'x{{ environment }}/{{ item.id }}.md'", "id: a", False),
    ("environments: {prod: {vars: {where: p}}}\noutput: '{{ where }}/{{ item.id }}.md'\nvars: {where: d}", "id: a", False),
    ("environments: {prod: {}}", "id: 'a-{{ environment or 0 }}'", False),
])  # fmt: skip
def test_an_environment_without_an_output_says_so(project: Build, settings: str, item: str, *, warned: bool) -> None:
    """Its files would be those of another environment; that is told at its first plan, not at its first apply."""
    root = project(
        {"contentops.yaml": f"{PROJECT}{settings}\n", "content/a.yaml": f"items: [{{{item}, inputs: {{topic: x}}}}]\n"}
    )
    problems = [one for one in desired(root, environment="prod").findings if one.code == "shared-output"]
    assert [one.severity for one in problems] == ["warning"] * warned
    assert not [one for one in desired(root).findings if one.code == "shared-output"]
    assert all(one.excerpt[one.location.column - 1 :].startswith("prod") for one in problems if one.location)


def test_a_vertical_that_local_does_not_list_is_a_warning(project: Build, invoke: Run) -> None:
    """The bundled server takes it; another server may not, and the words may be a mistake."""
    settings = "{version: 1, project: x, api: {base_url: local}, defaults: {style: general_blog, vertical: leagl}}"
    item = "{id: a, template: blog_article_generator, inputs: {topic: x, target_audience: y}}"
    project({"contentops.yaml": settings, "content/a.yaml": f"items: [{item}]"})
    ended = invoke("validate")
    assert ended.code == 0
    assert "warning[unknown-vertical]: item `a` names the vertical `leagl`, which is not" in ended.stderr
    assert ("did you mean `legal`?" in ended.stderr, invoke("apply", "--yes").code) == (True, 0)
