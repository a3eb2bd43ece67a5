"""A run of a plan file that stops anywhere: the same file, applied again, ends as a run that was never stopped."""

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from contentops.errors import Refused
from contentops.model import Event, OnEdit, Result
from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, quick_folder
from tests.fakes.kills import Death, EachKill
from tests.reviewing import apply_file, review
from tests.test_planfile import A2, B2, A, B, Meanwhile, apply, both, change, declare, item

EDITED = ("Closing", "The end")
W, BESIDES = item("w", "W"), item("b", "B", "metadata: {k: b}")
"""An item that is there before, so that what the server does with ids is known; and one beside `a` with something to do."""

Kind = Callable[[Harness], dict[str, Any]]
"""Prepares a project; returns what is chosen on the command line."""


def _applied(*items: str) -> Meanwhile:
    """What declares and applies these items."""
    return both(declare(*items), apply)


made = _applied(A, B)


def _stopped(at: int) -> Meanwhile:
    """An apply of `a` and `b`, after one of another item, that does not come to its end."""
    return both(_applied(W), declare(W, A, B), lambda harness: _die(harness, at))


def finish_paid(harness: Harness) -> None:
    """A text that an earlier plan has paid for, and that a file in its way kept from being written."""
    _stopped(1)(harness)

    def meanwhile(event: Event) -> None:
        if (event.kind, event.item, event.step) == ("step-done", "a", "submit"):
            harness.write("out/a.md", "Mine.\n")

    harness.apply(emit=meanwhile)
    (harness.root / "out/a.md").unlink()


def written_there(harness: Harness) -> None:
    """Words in WriterzRoom that a person read in the plan, and replaces."""
    made(harness)
    harness.api.edit(harness.record("a").content_id, "## Closing\n\nThere.\n")


def _kind(
    *items: str,
    first: Meanwhile = made,
    edits: Iterable[tuple[str, str]] = (),
    gone: bool = False,
    moved: str = "",
    **choice: Any,
) -> Kind:
    """What is done `first`; then `a` is edited or gone, and `items`, if any, are declared in place of those before."""

    def prepare(harness: Harness) -> dict[str, Any]:
        first(harness)
        for old, new in edits:
            harness.edit("out/a.md", old, new)
        if gone:
            (harness.root / "out/a.md").unlink()
        if items:
            declare(*items)(harness)
            harness.write("content/b.yaml", moved + harness.read("content/b.yaml"))
        return choice

    return prepare


MOVED = "output: out/x/a.md"
TITLED = ("title: ", "title: Mine, not ")
PAIR = "moved: [{from: a, to: z}]\n"
FOLLOWS = "metadata: {{k: '{{{{ ref(\"a\").title }}}}', j: {}}}".format

KINDS: dict[str, Kind] = {
    "create": _kind(A, B, first=both()),
    "regenerate": _kind(A2, B2),
    "move": _kind(item("a", "A", MOVED), B2),
    "move_and_regenerate": _kind(item("a", "A2", MOVED), BESIDES),
    "update": _kind(item("a", "A", "metadata: {k: v, title: Another}"), BESIDES),
    "update_edited": _kind(item("a", "A", "metadata: {k: v}"), BESIDES, edits=[EDITED]),
    # All that can be done to an edited file at once, but for its text.
    "move_and_update_edited": _kind(item("a", "A", MOVED, "metadata: {k: v, title: Other}"), BESIDES, edits=[EDITED]),
    "save": _kind(A, BESIDES, edits=[EDITED]),
    "save_title": _kind(A, BESIDES, edits=[TITLED]),
    "prune": _kind(B2, prune=True),
    "rename": _kind(item("z", "A"), BESIDES),
    "moved_pair": _kind(item("z", "A"), BESIDES, moved=PAIR),
    "moved_pair_that_changed": _kind(item("z", "A2"), BESIDES, moved=PAIR),
    "restore": _kind(A, BESIDES, gone=True),
    "keep": _kind(A2, BESIDES, edits=[EDITED], on_edit=OnEdit.KEEP),
    "merge": _kind(A2, BESIDES, edits=[EDITED], on_edit=OnEdit.MERGE),
    "overwrite": _kind(A2, B2, edits=[EDITED], on_edit=OnEdit.OVERWRITE),
    # A selection that no longer holds once the run has begun.
    "select_edited": _kind(A2, B2, edits=[EDITED], on_edit=OnEdit.OVERWRITE, select=("state:edited",)),
    "replace": _kind(replace=("a", "b")),
    "replace_edited": _kind(edits=[EDITED], replace=("a", "b")),
    # The same requests once more, in place of a person's words, which the server has.
    "replace_edited_and_saved": _kind(first=both(made, change(*EDITED), apply), replace=("a", "b")),
    # The first new text of one fails its checks.
    "create_retried": _kind(item("a", "A", "checks: {excludes: [Take 1.], retries: 1}"), B, first=both()),
    "replace_retried": _kind(item("a", "A", "checks: {excludes: [Take 2.], retries: 2}"), B, replace=("a", "b")),
    "protected": _kind(item("a", "A2", "protected: true", "metadata: {k: v}"), BESIDES),
    "restore_with_metadata": _kind(item("a", "A", "metadata: {k: v}"), BESIDES, gone=True),
    "regenerate_retitled": _kind(A2, BESIDES, edits=[TITLED]),
    "overwrite_retitled": _kind(A2, BESIDES, edits=[EDITED, TITLED], on_edit=OnEdit.OVERWRITE),
    "merge_retitled": _kind(A2, BESIDES, edits=[EDITED, TITLED], on_edit=OnEdit.MERGE),
    # A job of an earlier plan; a text that it paid for; and a job for a request no one wants any more.
    "finish": _kind(first=_stopped(12)),
    "finish_paid": _kind(W, A, B2, first=finish_paid),
    "drain": _kind(W, A2, B, first=_stopped(12)),
    # A new item waits for the text of another one.
    "made_from_another": _kind(W, A, item("b", 'On {{ ref("a").title }}'), first=_applied(W)),
    # The front matter of an item uses a text that is generated again; another key changes at once.
    "front_matter_follows": _kind(A2, item("b", "B", FOLLOWS("J")), first=_applied(A, item("b", "B", FOLLOWS("J")))),
    "front_matter_follows_an_update": _kind(
        A2, item("b", "B", FOLLOWS("K")), first=_applied(A, item("b", "B", FOLLOWS("J")))
    ),
    "written_there": _kind(A2, B2, first=written_there, refresh=True, on_edit=OnEdit.OVERWRITE),
}
GENERATED = (
    "create", "regenerate", "merge", "replace_edited_and_saved", "finish", "finish_paid", "drain", "replace_retried",
)  # fmt: skip
"""Kinds in which a server that stores what its jobs made does something else, each in its own way."""
SEVERAL = (
    "move_and_regenerate", "update_edited", "save_title", "moved_pair", "select_edited", "replace_edited",
    "create_retried", "restore_with_metadata", "merge_retitled", "front_matter_follows",
    "overwrite_retitled",
)  # fmt: skip
"""Kinds whose steps are those of others together: some of the stops are enough."""
ALONE = ("create", "overwrite", "replace", "finish", "made_from_another", "move")
"""Kinds with a step that no other has, or has in this order: every stop is tried."""


def _die(harness: Harness, at: int) -> str:
    harness.death = Death(at)
    with contextlib.suppress(Killed):
        harness.apply()
    last = harness.death.last
    harness.death = None
    return last


def _again(harness: Harness, reviewed: dict[str, Any]) -> set[Result] | str:
    """How the items ended, or why not."""
    try:
        run = apply_file(harness, reviewed)
    except Refused as refused:
        return refused.code if refused.code == "already-applied" else refused.message
    return {outcome.result for outcome in run.outcomes} if run is not None else set()


def _comparable(harness: Harness) -> dict[str, str]:
    return {path: re.sub(r"generated_at: .*|Take \d+\.", "", text).strip() for path, text in harness.tree().items()}


def _contents(harness: Harness) -> list[tuple[str, str]]:
    return sorted((one.title, re.sub(r"Take \d+\.", "", one.body)) for one in harness.api.contents.values())


def _every(kind: str) -> int:
    return 1 if kind in ALONE else 7 if kind in SEVERAL else 4


@pytest.mark.parametrize(("kind", "stores", "every"), [
    *(pytest.param(KINDS[kind], False, _every(kind), id=kind) for kind in KINDS),
    *(pytest.param(KINDS[kind], True, 5, id=f"{kind}, jobs stored") for kind in GENERATED),
])  # fmt: skip
def test_a_stop_at_every_step_of_a_plan_file(kind: Kind, *, stores: bool, every: int, each_kill: EachKill) -> None:
    """Applied again it ends well, with the same files, contents and charges; and then there is nothing left of it."""
    with quick_folder() as folder:
        expected = Harness(folder / "whole", FakeApi(duration=30, auto_save=stores))
        reviewed = review(expected, **kind(expected))
        assert all(change["steps"] or change["action"] == "wait" for change in reviewed["changes"])
        stops = each_kill(expected, folder, lambda: apply_file(expected, reviewed), every)
        assert len(stops) * every > 5
        left = expected.actions()
        ends = _comparable(expected), expected.api.credits, _contents(expected), left
        for at, (where, harness) in enumerate(stops.items()):
            assert _again(harness, reviewed) in ({Result.DONE}, "already-applied"), where
            assert (_comparable(harness), harness.api.credits, _contents(harness), harness.actions()) == ends, where
            # Where nothing at all is left to do, nothing of the file is.
            if left or at == 0:
                assert _again(harness, reviewed) == "already-applied", where
