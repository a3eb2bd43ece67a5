"""A project read by several processes is the project read by one: items, findings, and what is remembered."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.documents.files import Outputs
from contentops.documents.front_matter import compose
from contentops.documents.stat_cache import StatCache
from contentops.errors import InputError
from contentops.manifests.load import load
from contentops.manifests.project import load_project
from contentops.parallel import processors
from tests.desired import CATALOG, PROJECT
from tests.running import Build, Run, examples

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.model import Desired

pytestmark = [
    pytest.mark.skipif(processors() < 2, reason="all is read by one process here"),
    # Those who run tests side by side have a thread of their own, which holds no lock of ours.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


class Texts(dict[str, str]):
    """What is remembered, by name."""

    def put(self, key: str, value: str) -> None:
        """Remember it."""
        self[key] = value


# --- manifests ---------------------------------------------------------------------------------------------

LENGTH = 400_000
"""So long are manifests that are worth another process."""
MANIFESTS = (
    "items: [{id: NAME-a, inputs: {topic: '{{ word }} NAME'}}, {id: NAME-b, inputs: {topic: x, words: 3}, tags: [t]}]\n",
    "vars: {word: other}\ndefaults: {metadata: {by: '{{ word }}'}}\nitems: [{id: NAME, inputs: {topic: '{{ word }}'}}]\n",
    "items: [{id: 'NAME-{{ each.n }}', for_each: rows.csv, inputs: {topic: '{{ each.n }}'}}]\n",
    "items: [{id: 'NAME-{{ each.n }}', for_each: NAME.csv, inputs: {topic: '{{ each.n }}'}}]\n",
    "items: [{id: NAME, inputs: {topic: '{{ said(word) }}', tone: dry}}]\nmoved: [{from: old-NAME, to: NAME}]\n",
    "items: [{id: twice, inputs: {topic: x}}]\n",
    "items: [{id: NAME, inputs: {topic: '{{ missing }}', nope: 1}}, {id: NAME-c, inputs: {topic: y}}]\n",
    "items: [{id: NAME, template: unknown}]\nvars: {idle: 1}\n",
    "items: [a: b: c]\n",
    "items: []\n",
    "- n: 1\n- n: 2\n",
)
FILES = {
    "contentops.yaml": f"{PROJECT}vars: {{word: some}}\nmanifests: ['content/*.yaml']\nmacros: macros.j2\n",
    "macros.j2": "{% macro said(it) %}said {{ it }}{% endmacro %}",
    "rows.csv": "n\n1\n2\n",
}


def _loaded(root: Path, texts: Texts, processes: int) -> Desired | list[Diagnostic]:
    try:
        return load(load_project(root), CATALOG, texts, processes=processes)
    except InputError as error:
        return list(error.findings)


@settings(max_examples=examples(4))
@given(chosen=st.lists(st.sampled_from(MANIFESTS), min_size=3, max_size=9), processes=st.integers(2, 5))
def test_manifests(chosen: list[str], processes: int) -> None:
    """Whatever they say, and whatever is wrong with them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "content").mkdir()
        for name, text in FILES.items():
            (root / name).write_text(text)
        for number, text in enumerate(chosen):
            comment = f"# {'-' * (LENGTH // len(chosen) * 3)}\n"
            (root / f"content/m{number}.yaml").write_text(comment + text.replace("NAME", f"m{number}"))
        one, several = Texts(), Texts()
        found = _loaded(root, one, 1)
        assert _loaded(root, several, processes) == found
        assert several == one
        assert len(one) == len(chosen)


def test_a_command(project: Build, run: Run) -> None:
    """With its cache, its state and its terminal open, a plan of several processes is the plan from the cache."""
    long = f"# {'-' * LENGTH}\n"
    manifests = {f"content/m{n}.yaml": f"{long}items: [{{id: m{n}, inputs: {{topic: x}}}}]\n" for n in range(4)}
    root = project({"contentops.yaml": f"{PROJECT}api: {{base_url: 'https://api.example.com'}}\n", **manifests})
    first, again = run("plan", cwd=root), run("plan", cwd=root)
    assert first == again
    assert first.code == 0
    assert "4 to create" in first.stdout


# --- outputs -----------------------------------------------------------------------------------------------

OUTPUTS = (
    compose("A title", {"tags": ["a"], "n": 10**30, "on": True}, {"item": "x", "digest": "d"}, "Some text.\n"),
    "No front matter.\n",
    '---\ntitle: "\\ud800"\nother: "\\ud800"\n---\nWhat no file can hold.\n',
    "---\ntitle: [\n---\nBroken.\n",
    "<<<<<<< a\nours\n=======\ntheirs\n>>>>>>> b\n",
    "é\n",
)


def test_outputs(tmp_path: Path) -> None:
    """Files of every kind, links, folders in their place, and none at all; and some that change before the next look."""
    paths = [f"out/{number % 7}/{number}.md" for number in range(1500)]
    then = time.time_ns() - 3_600_000_000_000
    for number, path in enumerate(paths):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if number % 11 == 1:
            file.write_bytes(b"\xff")
        elif number % 11 == 2:
            file.mkdir()
        elif number % 11 == 3:
            file.symlink_to(tmp_path / paths[0])
        elif number % 11 > 4:
            file.write_text(OUTPUTS[number % len(OUTPUTS)])
            os.utime(file, ns=(then, then))
    one, several = Texts(), Texts()
    for _ in range(2):
        looks = [
            StatCache(Outputs(tmp_path), kept.get, kept.put, now=2**62, processes=count)
            for kept, count in ((one, 1), (several, 3))
        ]
        found, again = [look.observe_all(paths) for look in looks]
        assert found == again == {path: Outputs(tmp_path).observe(path) for path in paths}
        assert one == several
        for path in paths[9::11]:
            (tmp_path / path).write_text("Other words.\n")
