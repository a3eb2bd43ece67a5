"""`contentops.yaml`: finding the root, merging an environment, refusing what is unsafe."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import Diagnostic, ExitCode, InputError, UsageError
from contentops.manifests.project import load_project, parse_variable
from contentops.manifests.root import find_root
from contentops.model import Budget, Guards, Project


def write(root: Path, text: str) -> Path:
    """A project folder whose `contentops.yaml` holds `text`."""
    (root / "contentops.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def load(root: Path, text: str, environment: str = "", **variables: Any) -> Project:
    """The project a text describes."""
    return load_project(write(root, text), environment=environment, variables=variables)


def findings_of(root: Path, text: str) -> tuple[Diagnostic, ...]:
    """The findings of a text that is no project."""
    with pytest.raises(InputError) as caught:
        load(root, text)
    return caught.value.diagnostics()


def only(root: Path, text: str) -> Diagnostic:
    """The one finding of a text."""
    (problem,) = findings_of(root, text)
    return problem


def test_root_is_the_nearest_folder_with_the_file(tmp_path: Path) -> None:
    """From any folder of a project its root is found; an inner project hides an outer one."""
    outer = write(tmp_path, "project: outer\n").resolve()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_root(deep) == str(outer)
    inner = write(tmp_path / "a", "project: inner\n").resolve()
    assert (find_root(deep), find_root(tmp_path)) == (str(inner), str(outer))


@pytest.mark.parametrize(("name", "start", "words"), [
    ("", "", "start a project with `contentops init`"),
    ("contentops.yml", "", "rename `contentops.yml` to `contentops.yaml`"),
    ("contentops.yaml", "absent", "there is no folder"), ("contentops.yaml", "contentops.yaml", "there is no folder"),
    ("contentops.yaml", "contentops.yaml/x", "there is no folder"), ("", "x" * 300, ""),
])  # fmt: skip
def test_no_root_says_what_to_do(tmp_path: Path, name: str, start: str, words: str) -> None:
    """Without a project around a folder the error names the next step; a mistyped folder is an error anywhere."""
    if name:
        (tmp_path / name).write_text("project: x\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        find_root(tmp_path / start)
    [problem] = caught.value.diagnostics()
    assert problem.code == "no-project"
    assert words in f"{problem.message} {problem.hint}"


FULL = """\
    $schema: schemas/project.schema.json
    version: 1
    project: acme-blog
    manifests: [content/**/*.yaml, more/*.yaml]
    output: "out/{{ item.id }}.md"
    api: {base_url: "https://api.writerzroom.com/v1/", requests_per_minute: 20, job_timeout: 1h30m, save: off, dialect: auto}
    budget: {credits_per_apply: 200, items_per_apply: 100.0}
    guards: {max_changed_ratio: 0.5, from_items: 3.0}
    defaults: {style: general_blog, inputs: {a: 1}}
    vars: {company: Acme, year: 2026}
    preset: hugo
    provenance: false
    environments:
      staging:
        api: {base_url: local}
        output: "staging/{{ item.id }}.md"
        vars: {company: "Acme (staging)"}
        defaults: {mode: quick}
        manifests: [staging.yaml]
        budget: {credits_per_apply: }
        guards: {from_items: 0}
        preset:
        provenance: true
      prod:
    """


def test_environment_merges_maps_and_replaces_lists(tmp_path: Path) -> None:
    """Maps of an environment merge over those of the project, lists replace, layers of content stay apart."""
    project = load(tmp_path, FULL, "staging")
    assert project.environment == "staging"
    assert project.manifests == ("staging.yaml",)
    assert (project.output, project.environment_output) == ("out/{{ item.id }}.md", "staging/{{ item.id }}.md")
    assert (project.api.base_url, project.api.save, project.api.job_timeout) == ("local", "off", 5400.0)
    assert project.budget == Budget(credits_per_apply=None, items_per_apply=100)
    assert project.guards == Guards(max_changed_ratio=0.5, from_items=0)
    assert (project.preset, project.provenance) == ("", True)
    assert project.defaults == {"style": "general_blog", "inputs": {"a": 1}}
    assert project.environment_defaults == {"mode": "quick"}
    assert project.environment_vars == {"company": "Acme (staging)"}


@pytest.mark.parametrize(
    ("environment", "hint"),
    [("stagin", "did you mean `staging`? declared: `staging`, `prod`"), ("zzz", "declared: `staging`, `prod`")],
    ids=["near", "far"],
)
def test_unknown_environment_names_all(tmp_path: Path, environment: str, hint: str) -> None:
    """A mistyped `--env` is a usage error with the nearest name and all of them."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, FULL, environment)
    assert (caught.value.code, caught.value.hint) == ("unknown-environment", hint)
    assert caught.value.exit_code == ExitCode.USAGE


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """Schema and meaning, the project and every environment: all in one go, in the order of the file."""
    text = """\
        projct: x
        api: {base_url: "ftp://x", dialect: v9}
        api: {}
        environments:
          a: {api: {base_url: "http://example.com"}}
          b: {manifests: ["../x"]}
        """
    assert [problem.code for problem in findings_of(tmp_path, text)] == [
        "unknown-key", "bad-url", "wrong-value", "duplicate-key", "insecure-url", "bad-path",
    ]  # fmt: skip


PATTERNS = ["../x.yaml", "/etc/*.yaml", "a/../../b", "C:/x", "c:x", "~/x", "'a\\b'", "' '", "'[z-a].yaml'"]
"""Globs that leave the project, work on one system only, or match nothing."""


@pytest.mark.parametrize(("text", "code"), [
    *((f"project: x\nmanifests: [ok/*.yaml, {pattern}]\n", "bad-path") for pattern in PATTERNS), ("", "missing-key"),
    ("# nothing\n", "missing-key"), ("- a\n", "wrong-type"), ("project: {{ x }} y\n", "yaml-syntax"),
    ("project: x\nversion: 2\n", "wrong-value"), ("project: x\napi: 3\n", "wrong-type"),
    ("project: x\napi: {base_url: 3}\n", "wrong-type"), ("project: x\napi: {job_timeout: 0s}\n", "wrong-value"),
    ("project: x\napi: {job_timeout: 99999h}\n", "wrong-value"),
    ("project: x\napi: {job_timeout: 5m5}\n", "wrong-value"), ("project: x\nmanifests: [3]\n", "wrong-type"),
    ("project: x\nmanifests: content\n", "wrong-type"), ("project: x\nenvironments: [a]\n", "wrong-type"),
    ("project: x\nenvironments: {a: [1]}\n", "wrong-type"), ("project: x\nenvironments: {A/B: {}}\n", "bad-name"),
    ("project: x\nvars: {item: 1}\n", "bad-name"), ("project: x\nenvironments: {e: {vars: {range: 1}}}\n", "bad-name"),
], ids=lambda value: repr(value)[:30])  # fmt: skip
def test_wrong_file_is_one_finding(tmp_path: Path, text: str, code: str) -> None:
    """Each mistake is said once, whatever else reads the same value."""
    problem = only(tmp_path, text)
    assert problem.code == code
    assert problem.location is not None
    assert problem.location.file == "contentops.yaml"


@pytest.mark.parametrize(("url", "code"), [
    ("http://example.com", "insecure-url"), ("http://localhost.example.com", "insecure-url"),
    ("http://127.0.0.1.example.com", "insecure-url"), ("http://10.0.0.1", "insecure-url"),
    ("http://[fe80::1]", "insecure-url"), ("http://2130706433", "insecure-url"),
    ("https://user:pass1234@example.com", "bad-url"), ("https://token-1234@example.com", "bad-url"),
    ("http://127.0.0.1@example.com", "bad-url"), ("https://example.com?key=1234", "bad-url"),
    ("https://example.com#x", "bad-url"), ("https://example.com?", "bad-url"), ("https://", "bad-url"),
    ("https:///v1", "bad-url"), ("example.com", "bad-url"), ("ftp://example.com", "bad-url"),
    ("file:///etc/passwd", "bad-url"), ("https://example.com:99999", "bad-url"), ("https://example.com:x", "bad-url"),
    ("https://[::1", "bad-url"), ("https://exa mple.com", "bad-url"), ("https://{{ host }}/v1", "bad-url"),
    ("https://example.com/a b", "bad-url"), ("https://example.com\\\\@evil.com", "bad-url"), ("Local", "bad-url"),
])  # fmt: skip
def test_unusable_address_is_refused(tmp_path: Path, url: str, code: str) -> None:
    """An address that leaks the key, hides credentials or is none at all is an error."""
    problem = only(tmp_path, f"project: x\napi:\n  base_url: '{url}'\n")
    assert problem.code == code
    assert problem.location is not None
    assert problem.location.line == 3


BESIDE: dict[str, str] = {
    "password": "api: {base_url: 'https://me:hunter22@x.y', dialect: v9}",
    "query": "api: {base_url: 'https://x.y?k=hunter22', dialect: v9}",
    "key": "api: {key: hunter22, base_url: 'http://x.y'}",
    "ledger": "ledger: 'me:hunter22 is @ h'\napi: {dialect: v9}",
    "key-env": "api: {key_env: hunter-22, base_url: 'http://x.y'}",
    "environment": "environments: {a: {api: {token: hunter22, base_url: 'http://x.y'}}}",
}
"""Files with a secret that a finding is about, and another finding in its line."""


@pytest.mark.parametrize("text", [
    *(pytest.param(text, id=f"beside: {name}") for name, text in BESIDE.items()),
    pytest.param('api: {base_url: local}\napi_key: "sk-live-hunter22\n', id="open quote"),
    pytest.param("api:\n  key: sk-live-hunter22: x\n", id="colon in the value"),
    pytest.param("api:\n  api_token: @sk-live-hunter22\n", id="bad start"),
    pytest.param("api:\n  password: 'sk'live-hunter22'\n", id="after the quote"),
    pytest.param("api:\n  token: 's' sk-live-hunter22\n", id="does not belong in this line"),
    pytest.param("api:\n  dialect: v1\n  secret = sk-live-hunter22\nx: 1\n", id="no colon"),
    pytest.param("api:\n  secret_key:sk-live-hunter22\n  x: 1\n", id="no space"),
    pytest.param("api:\n  key_env: {{ sk-live-hunter22 }}\n", id="Jinja"),
    pytest.param("api:\n  key_env: {{ sk-live-hunter22 }} x\n", id="broken Jinja"),
    pytest.param("api: {dialect: v1, Bearer: sk-live-hunter22: x}\n", id="in braces"),
    pytest.param("api:\n  base_url: https://me:sk-live-hunter22@x.y: z\n", id="in an address"),
    pytest.param("api:\n  api_key: >\n    a\n     \tsk-live-hunter22\n   bad: [\n", id="in a block"),
    pytest.param('api:\n  api_key: "a\n    \\qsk-live-hunter22"\n', id="in a quoted text of two lines"),
    pytest.param("api:\n  api_key: !!set sk-live-hunter22\n", id="with a tag"),
    pytest.param("api:\n  api_key: 1e99999\n", id="a bad number"),
    pytest.param("api:\n  api_key: sk-live\x01-hunter22\n", id="control character"),
    pytest.param("api_key: sk-live-hunter22\n", id="unknown key at the top"),
])  # fmt: skip
def test_a_secret_in_the_file_is_shown_by_no_finding(tmp_path: Path, text: str) -> None:
    """Neither by the one about it nor by others in its line, nor where what may be a key cannot be parsed."""
    problems = findings_of(tmp_path, f"project: x\n{text}")
    assert len(problems) >= 1 + (text in BESIDE.values())
    for entry in problems:
        said = f"{entry.message}{entry.hint}{entry.excerpt}"
        assert not any(piece in said for piece in ("hunter", "sk-l", "1e99")), said
        assert len(entry.excerpt) <= max(map(len, text.splitlines()))


@pytest.mark.parametrize(("text", "value"), [
    ("a=x", "x"), ("a=", ""), ("a= ", " "), ("a=1", 1), ("a=1.5", 1.5), ("a=true", True), ("a=null", None),
    ("a=yes", "yes"), ("a=012", "012"), ("a=2026-03-01", "2026-03-01"), ("a=b=c", "b=c"), ("a=[1]", "[1]"),
    ("a=@x: y", "@x: y"), ('a="1"', "1"), ("a='it''s'", "it's"), ("a=two\nlines", "two\nlines"),
])  # fmt: skip
def test_variable_of_the_command_line_is_read(text: str, value: Any) -> None:
    """Values follow YAML's rules for scalars; quotes make a text of anything."""
    name, parsed = parse_variable(text)
    assert (name, parsed) == ("a", value)
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", [
    "a", "", "=1", "1a=1", "a-b=1", "item=1", "each=1", "project=1", "environment=1", "not=1", "True=1", "a.b=1", "é=1",
    "a=.inf", "a=1e999", "a='x", "a='x' y", "a='x'\nb: 1", 'a="\\q"', "a=\x00", "a=\ud800", "\x1b=1",
])  # fmt: skip
def test_unusable_variable_is_a_usage_error(text: str) -> None:
    """What has no name, no value, or one no one can use, is refused in words."""
    with pytest.raises(UsageError) as caught:
        parse_variable(text)
    assert caught.value.code == "bad-variable"
    assert "\x1b" not in caught.value.message
