"""A plan without changes is said again while nothing changed, and is the planner's own answer, whatever changes."""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from contentops.__main__ import main
from contentops.atomic_io import TRUSTED_AFTER
from contentops.cli.session import Session
from contentops.digest import digest_text
from contentops.documents.files import Outputs, Stamp, observe_by_stamp
from contentops.errors import ContentopsError
from contentops.model import Observed, Plan
from contentops.operations import plan as operation
from contentops.operations.opening import Runtime, open_cache, open_project
from contentops.operations.unchanged import Asked, LastPlan, _checksum, _Said, last_plan
from contentops.planning.sides import Choice
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from tests.plans import plan_document
from tests.running import Run, examples

LATER = 10_000_000_000
"""So much later a command starts, in nanoseconds, that all that is there can be trusted."""
SETTINGS = """\
version: 1
project: x
api: {base_url: local}
manifests: ["content/**/*.yaml"]
macros: macros.j2
defaults: {template: blog_article_generator, style: general_blog}
vars: {company: Acme}
environments: {draft: {vars: {company: Draft}}}
"""
FILES = {
    "contentops.yaml": SETTINGS,
    "macros.j2": "{% macro shout(text) %}{{ text | upper }}{% endmacro %}\n",
    "content/a.yaml": """\
        items:
          - {id: one, inputs: {topic: "One of {{ company }}", target_audience: readers}, metadata: {tags: [a], part: 1}}
          - {id: two, inputs: {topic: "{{ shout('two') }}", target_audience: readers}}
        """,
    "content/deep/b.yaml": """\
        items:
          - id: "city-{{ each.name }}"
            for_each: cities.csv
            inputs: {topic: "In {{ each.name }}", target_audience: readers}
            output: "cities/{{ each.name }}.md"
        """,
    "content/deep/cities.csv": "name\nbern\nrome\n",
    "front.json": '{"type": "object"}\n',
}
SERVER = "https://a.example:443"
COSTLY = "api: {base_url: 'https://a.example/v1'}\nguards: {from_items: 1}\nbudget: {credits_per_apply: 5}"
"""Settings with which the same items cost, are saved, and are counted by guards."""


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of four items that was applied."""
    root = tmp_path_factory.mktemp("applied")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()) + "\n", "utf-8")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main(["-C", str(root), "apply", "--yes"]) == 0
    return root


@pytest.fixture(scope="module")
def costly(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project, as if a server that charges had made its texts."""
    root = _copy(applied, tmp_path_factory.mktemp("costly") / "site")
    (root / "contentops.yaml").write_text(SETTINGS.replace("api: {base_url: local}", COSTLY), "utf-8")
    _rewrite("contentops.lock", '"server":"local"', f'"server":"{SERVER}"')(root)
    plan = _plan(root, None)
    assert (plan.changes, plan.unchanged, plan.server) == ((), 4, SERVER)
    return root


def _copy(root: Path, to: Path) -> Path:
    shutil.copytree(root, to, symlinks=True)
    return to


def _last(root: Path, asked: Asked | None = None, *, later: int = LATER) -> LastPlan:
    return last_plan(str(root), asked or Asked(), started=time.time_ns() + later)


def _plan(root: Path, last: LastPlan | None) -> Plan:
    """As `contentops plan` does it; without a last plan, as `plan --no-cache` does."""
    if last is not None and (found := last.recall()) is not None:
        return found
    runtime = Runtime(trusts_stamps=last is not None)
    return operation.plan(open_project(str(root), "", ()), Choice(), runtime=runtime, last=last)


def _said(root: Path, last: LastPlan | None) -> tuple[object, ...]:
    """Everything that a person could be shown of a plan, or why there is none."""
    try:
        plan = _plan(root, last)
    except ContentopsError as error:
        return (error.exit_code, *error.diagnostics())
    return json.dumps(plan_document(plan)), plan_text(plan, verbose=True), plan_markdown(plan), plan.findings


def _tick(root: Path) -> None:
    """Waits for the clock that stamps files to go on, a few milliseconds, so that the next change has its own time."""
    probe = root.parent / f"{root.name}.probe"
    probe.touch()
    before = probe.stat().st_mtime_ns
    end = time.monotonic() + 5
    while probe.stat().st_mtime_ns == before:
        assert time.monotonic() < end
        probe.touch()


# --- edits -------------------------------------------------------------------------------------------------


def _rewrite(
    name: str, old: str, new: str, *, keep_time: bool = False, is_replaced: bool = False
) -> Callable[[Path], None]:
    """Other words in a file, or (`is_replaced`) in another file that takes its place."""

    def edit(root: Path) -> None:
        path = root / name
        if not path.exists():
            return
        before, written = path.stat(), path.with_name("other.tmp") if is_replaced else path
        written.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        if keep_time:
            os.utime(written, ns=(before.st_atime_ns, before.st_mtime_ns))
        written.replace(path)

    return edit


def _write(name: str, text: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")

    return edit


def _remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink(missing_ok=True)


def _state(item: str, more: str) -> Callable[[Path], None]:
    """One more key of an item."""
    return _rewrite("content/a.yaml", f"id: {item},", f"id: {item}, {more},")


def _link(root: Path) -> None:
    path = root / "content" / "a.yaml"
    if path.exists() and not path.is_symlink():
        path.rename(root / "a.txt")
        path.symlink_to("../a.txt")


def _swap_folder(root: Path) -> None:
    """A folder with other texts takes the place of the outputs."""
    if (root / "out").exists():
        _copy(root / "out", root / "other")
        for path in (root / "other").rglob("*.md"):
            path.write_text(path.read_text("utf-8") + "\nMore.\n", "utf-8")
        (root / "out").rename(root / "before")
        (root / "other").rename(root / "out")
        shutil.rmtree(root / "before")


def _lock_lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        lock = root / "contentops.lock"
        if lock.exists():
            lock.write_text("".join(change(lock.read_text("utf-8").splitlines(keepends=True))), "utf-8")

    return edit


def _copy_lock(root: Path) -> None:
    if (root / "contentops.lock").exists():
        shutil.copy(root / "contentops.lock", root / "contentops.draft.lock")


def _image(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Other bytes in what is remembered."""

    def edit(root: Path) -> None:
        for image in (root / ".contentops" / "cache").glob("*.image"):
            image.write_bytes(change(image.read_bytes()))

    return edit


def _damaged(data: bytes, at: int) -> bytes:
    at %= len(data) or 1
    return data[:at] + bytes(byte ^ 1 for byte in data[at : at + 1]) + data[at + 1 :]


REPLACED = {"keep_time": True, "is_replaced": True}
EDITS: Mapping[str, Callable[[Path], None]] = {
    "nothing": lambda _root: None,
    "a topic": _rewrite("content/a.yaml", "One of", "All of"),
    "a topic of the same length, with its old time": _rewrite("content/a.yaml", "One of", "Two of", keep_time=True),
    "a manifest replaced, with its old time": _rewrite("content/a.yaml", "readers", "writers", **REPLACED),
    "a manifest touched": _rewrite("content/a.yaml", "", ""),
    "an item more": _rewrite("content/a.yaml", "items:\n", "items:\n  - {id: more, inputs: {topic: M}}\n"),
    "an id twice": _rewrite("content/a.yaml", "id: two", "id: one"),
    "no item": _rewrite("content/a.yaml", "id: one", "idd: one"),
    "a manifest more": _write("content/new/c.yaml", "items:\n  - {id: new, inputs: {topic: N, target_audience: r}}\n"),
    "a manifest less": _remove("content/deep/b.yaml"),
    "a manifest that is a link": _link,
    "metadata": _rewrite("content/a.yaml", "tags: [a]", "tags: [b]"),
    "a bool in place of a number": _rewrite("content/a.yaml", "part: 1", "part: true"),
    "protected": _state("one", "protected: true"),
    "checks": _state("one", "checks: {contains: [nowhere]}"),
    "checks of links": _state("one", "checks: {links: block}"),
    "checks by a schema": _state("two", "checks: {front_matter: {schema: front.json}}"),
    "another schema": _write("front.json", '{"required": ["title"]}\n'),
    "a brand voice": _state("two", "brand_voice: bv_x"),
    "a mode": _state("two", "mode: premium"),
    "a revision": _state("one", "revision: 2"),
    "a stated title": _rewrite("content/a.yaml", "tags: [a]", "tags: [a], title: Mine"),
    "a stated output": _state("one", "output: out/one.md"),
    "not saved": _state("two", "save: false"),
    "edits are kept": _state("one", "on_edit: keep"),
    "edits are merged": _state("one", "on_edit: merge"),
    "edits are overwritten": _state("one", "on_edit: overwrite"),
    "the request of another item": _rewrite("content/a.yaml", "{{ shout('two') }}", "One of Acme"),
    "a default of a manifest": _rewrite("content/a.yaml", "items:\n", "defaults: {style: phd_academic}\nitems:\n"),
    "a budget": _rewrite("contentops.yaml", "macros:", "budget: {items_per_apply: 1}\nmacros:"),
    "a guard": _rewrite("contentops.yaml", "from_items: 1", "from_items: 1, max_changed_ratio: 0.9"),
    "moved": _rewrite("content/a.yaml", "items:\n", "moved: [{from: one, to: first}]\nitems:\n"),
    "a row": _rewrite("content/deep/cities.csv", "rome", "oslo"),
    "a row more": _rewrite("content/deep/cities.csv", "rome\n", "rome\nparis\n"),
    "data that comes first": _write("cities.csv", "name\nbern\n"),
    "no data": _remove("content/deep/cities.csv"),
    "a macro": _rewrite("macros.j2", "upper", "lower"),
    "a variable": _rewrite("contentops.yaml", "company: Acme", "company: Akme"),
    "a variable no one uses": _rewrite("contentops.yaml", "vars: {", "vars: {spare: 1, "),
    "a default": _rewrite("contentops.yaml", "general_blog", "phd_academic"),
    "an output": _rewrite("contentops.yaml", "macros:", "output: 'texts/{{ item.id }}.md'\nmacros:"),
    "other manifests": _rewrite("contentops.yaml", "content/**/*.yaml", "content/*.yaml"),
    "another server": _rewrite("contentops.yaml", "base_url: local", "base_url: 'https://a.example/v1'"),
    "settings that are wrong": _rewrite("contentops.yaml", "version: 1", "version: 9"),
    "a catalog": _write("catalog.lock.json", "{}\n"),
    "a body": _rewrite("out/one.md", "\n## ", "\n## My ", keep_time=True),
    "front matter": _rewrite("out/one.md", "tags:", "labels:"),
    "a title": _rewrite("out/two.md", "title: ", "title: My "),
    "no output": _remove("out/two.md"),
    "a merge in an output": _rewrite("out/one.md", "\n## ", "\n<<<<<<< a\n=======\n>>>>>>> b\n## "),
    "an output replaced": _rewrite("cities/bern.md", "Introduction", "Beginning", **REPLACED),
    "a folder of outputs": _swap_folder,
    "a file no one knows": _write("out/mine.md", "Mine.\n"),
    "a lock without a line": _lock_lines(lambda lines: [*lines[:1], *lines[2:]]),
    "a lock with a line twice": _lock_lines(lambda lines: [*lines, lines[-1].replace('"rev":1', '"rev":2')]),
    "no lock": _remove("contentops.lock"),
    "a damaged lock": _rewrite("contentops.lock", '"id":"one"', '"id":1'),
    "a lock of another environment": _copy_lock,
    "a journal": _write(".contentops/journal.jsonl", '{"drop":"x","base":"","step":"drop"}\n'),
    "rules of git": _write(".gitattributes", "*.lock filter=lfs\n"),
    "a damaged image": _image(lambda data: _damaged(data, 3000)),
    "a damaged first line": _image(lambda data: _damaged(data, 90)),
    "a cut image": _image(lambda data: data[:-7]),
}
"""What may happen to a project between two plans."""


@given(names=st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=4), ahead=st.booleans(), costs=st.booleans())
@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plan_is_the_same_with_and_without_what_was_remembered(
    names: list[str], *, ahead: bool, costs: bool, applied: Path, costly: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever changes, and in whichever order: JSON, text, Markdown, findings, and what is wrong."""
    root = _copy(costly if costs else applied, tmp_path_factory.mktemp("edited") / "site")
    if ahead:
        _said(root, _last(root))
    for name in names:
        _tick(root)
        EDITS[name](root)
        assert _said(root, _last(root)) == _said(root, None), names
        # What has been remembered now is still true.
        assert _said(root, _last(root)) == _said(root, None), names
    shutil.rmtree(root.parent)


class _Misread(Outputs):
    """Files as they are, but with the bodies of other ones."""

    def observe_all(self, paths: Iterable[str]) -> Iterator[tuple[Observed, Stamp | None]]:
        """Each file with its true stamp."""
        for file, stamp in super().observe_all(paths):
            yield structs.replace(file, body=digest_text("Other words.")), stamp


def test_no_cache_trusts_nothing_that_was_remembered(applied: Path, tmp_path: Path, invoke: Run) -> None:
    """Neither a text that was seen under this stamp nor the last plan; and `apply` does not, either."""
    root = _copy(applied, tmp_path / "site")
    commands = (["plan"], ["apply", "--yes"])
    _plan(root, _last(root))
    (image,) = root.rglob("*.image")
    data = image.read_bytes().replace(b'"unchanged":4', b'"unchanged":9', 1)
    image.write_bytes(_checksum(data[8:]) + data[8:])
    for words in commands:
        assert "All 9 items are up to date" in invoke(*words, cwd=root).stdout
        assert "All 4 items are up to date" in invoke(*words, "--no-cache", cwd=root).stdout
    image.unlink()
    with open_cache(open_project(str(root), "", ()), write=True) as cache:
        observe_by_stamp(_Misread(root), ["out/one.md"], cache.get, cache.put, now=2**62)
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 2
    for words in commands:
        assert "All 4 items are up to date" in invoke(*words, "--no-cache", cwd=root).stdout


# --- what is remembered --------------------------------------------------------------------------------------


def test_what_is_recalled_is_what_was_said(applied: Path, tmp_path: Path) -> None:
    """With its counts, its notes and its findings; and none for anyone who asks for something else."""
    root = _copy(applied, tmp_path / "site")
    (root / "content" / "deep" / "b.yaml").unlink()
    plan = _plan(root, _last(root))
    assert ([note.kind for note in plan.notes], plan.unchanged) == (["orphan", "orphan"], 2)
    assert _last(root).recall() == plan
    assert _last(root, Asked(environment="draft")).recall() is None
    assert _last(root, Asked(variables=("company=Other",))).recall() is None
    assert _last(root, Asked(names_ledger=True)).recall() is None
    # `approves` is of plans with files in review, which are not kept; the others are of plans that pay.
    assert {*Plan.__struct_fields__} - {*_Said.__struct_fields__} == {
        "approves", "changes", "first_prose", "spent", "writer",
    }  # fmt: skip


def test_no_password_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for is kept on disk: that a ledger is named, not where it is."""
    monkeypatch.setenv("CONTENTOPS_LEDGER", "postgresql://me:planted@db.example/x")
    asked = Session().last_plan().asked
    assert asked == Asked(names_ledger=True)
    assert "planted" not in repr(asked)


def test_a_plan_is_not_remembered_while_the_file_of_jobs_lacks_some(applied: Path, tmp_path: Path, invoke: Run) -> None:
    """The next apply has nothing to do but to complete that file, for clones that know no payment without it."""
    root = _copy(applied, tmp_path / "site")
    jobs = (root / "contentops.jobs").read_bytes()
    _remove("contentops.jobs")(root)
    assert _plan(root, _last(root)).empty
    assert not [*root.rglob("*.image")]
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert (root / "contentops.jobs").read_bytes() == jobs


def test_a_file_that_changed_just_now_is_not_trusted(applied: Path, tmp_path: Path) -> None:
    """A write within the clock's grain of the look could leave its stamp as it is: git calls such a file racily clean."""
    root = _copy(applied, tmp_path / "site")
    assert not _plan(root, _last(root, later=0)).changes
    assert not [*root.rglob("*.image")]
    newest = max(path.stat().st_ctime_ns for path in (root, *root.rglob("*")) if ".contentops" not in path.parts)
    last = last_plan(str(root), Asked(), started=newest + TRUSTED_AFTER)
    assert not _plan(root, last).changes
    assert not [*root.rglob("*.image")]
    plan = _plan(root, last_plan(str(root), Asked(), started=newest + TRUSTED_AFTER + 1))
    assert [*root.rglob("*.image")]
    # Archives and clocks that were reset give times before 1970, also after a plan was remembered.
    assert _last(root).recall() == plan
    os.utime(root / "content" / "a.yaml", (-1000, -1000))
    last = _last(root)
    assert last.recall() is None
    assert _plan(root, last) == plan
    assert _last(root).recall() is None
