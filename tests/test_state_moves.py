"""`state mv` takes only what a manifest or `contentops.yaml` could say, so that the lock can always be read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import StateError
from contentops.model import ItemId
from contentops.state.store import StateStore
from tests.state_facts import LINEAGE, entry, record

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.running import Build, Run

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}


@pytest.fixture
def site(project: Build, invoke: Run) -> Path:
    """One item, made by the embedded server."""
    root = project(SITE)
    assert invoke("apply", "--yes", cwd=root).code == 0
    return root


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("", "the new id is empty"),
        ("../x", "`../x` starts with `.`"),
        ("x\ny", "contains the character U+000A"),
        ("x" * 3000, "is longer than 200 characters"),
        ("a//b", "has an empty"),
    ],
)
def test_an_id_no_manifest_could_declare_is_refused(invoke: Run, site: Path, new: str, why: str) -> None:
    """And the lock stays as it was."""
    before = (site / "contentops.lock").read_bytes()
    result = invoke("state", "mv", "a", new, cwd=site)
    assert (result.code, "error[bad-id]" in result.stderr, why in result.stderr) == (64, True, True), result.stderr
    assert (site / "contentops.lock").read_bytes() == before
    assert invoke("plan", cwd=site).code == 0


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("", "bad-url"),
        ("example.test", "bad-url"),
        ("ftp://example.test", "bad-url"),
        ("https://user:secret@example.test", "bad-url"),
        ("https://example.test/?key=1", "bad-url"),
        ("https://exa mple.test", "bad-url"),
        ("https://example.test:99999", "bad-url"),
        ("http://example.test", "insecure-url"),
    ],
)
def test_a_server_no_project_could_name_is_refused(invoke: Run, site: Path, new: str, code: str) -> None:
    """Without a word of a password in it."""
    before = (site / "contentops.lock").read_bytes()
    result = invoke("state", "mv", "--server", "local", new, cwd=site)
    assert (result.code, f"error[{code}]" in result.stderr) == (64, True), result.stderr
    assert "secret" not in result.stderr
    assert (site / "contentops.lock").read_bytes() == before


@pytest.mark.parametrize("new", ["https://Example.test/v1", "https://example.test:443", "https://example.test/"])
def test_of_a_server_scheme_host_and_port_are_kept(invoke: Run, site: Path, new: str) -> None:
    """So that records name it as plans do."""
    result = invoke("state", "mv", "--server", "local", new, cwd=site)
    assert (result.code, result.stdout) == (0, "server `local` is now `https://example.test:443`\n"), result.stderr
    shown = invoke("state", "show", "a", "--json", cwd=site).json
    assert shown["record"]["server"] == "https://example.test:443"


def test_an_id_like_any_other_is_taken(invoke: Run, site: Path) -> None:
    """Letters of any language, and folders."""
    assert invoke("state", "mv", "a", "blog/über-uns", cwd=site).code == 0
    assert invoke("state", "show", "blog/über-uns", cwd=site).code == 0


@pytest.mark.parametrize("fact", [record(id=ItemId("")), entry(request_id="")], ids=["record", "entry"])
def test_a_line_that_could_not_be_read_again_is_never_noted(tmp_path: Path, fact: Any) -> None:
    """Whoever asks for it: the lock would be lost with that line."""
    with StateStore(tmp_path, environment="", lineage=lambda: LINEAGE, write=True) as store:
        with pytest.raises(StateError) as caught:
            store.note("test", fact)
        assert caught.value.code == "unwritable-fact"
        assert store.checkpoint() is False
