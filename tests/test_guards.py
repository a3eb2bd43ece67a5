"""Guards: where `plan` says that `apply` would refuse, it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import Build, Run  # noqa: TC001 - pytest reads annotations of fixtures

if TYPE_CHECKING:
    from pathlib import Path

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}


def _empty(root: Path) -> None:
    (root / "content/a.yaml").write_text("items: []\n")


def _move(root: Path) -> None:
    lock = root / "contentops.lock"
    lock.write_text(lock.read_text().replace('"server":"local"', '"server":"https://api.example.test"'))
    # As made there, so that no text is asked for here.
    (root / "contentops.yaml").write_text(SITE["contentops.yaml"].replace("local", "https://other.example.test/v1"))


@pytest.mark.parametrize(
    ("change", "guard", "override"), [(_empty, "empty", "--approve-empty"), (_move, "server-changed", "")]
)
@pytest.mark.parametrize("flags", [(), ("--prune",), ("--select", "state:new")], ids=" ".join)
def test_an_apply_refuses_what_the_plan_says_it_would(
    project: Build, invoke: Run, change: object, guard: str, override: str, flags: tuple[str, ...]
) -> None:
    """With changes or without any: nothing is left of the manifests, or another server is asked."""
    root = project(SITE)
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert callable(change)
    change(root)
    planned = invoke("plan", *flags, cwd=root)
    assert (planned.code, "apply would refuse" in planned.stdout) == (0, True)
    refused = invoke("apply", "--yes", *flags, cwd=root)
    assert (refused.code, f"error[{guard}]" in refused.stderr) == (4, True), refused.stdout + refused.stderr
    if override:
        assert invoke("apply", "--yes", override, *flags, cwd=root).code == 0
