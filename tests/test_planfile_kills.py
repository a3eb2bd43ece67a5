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

EDITED = ("Closing", "The end")


def _item(id_: str, topic: str, more: str = "") -> str:
    return f"  - id: {id_}\n    inputs: {{topic: '{topic}', target_audience: readers}}\n{more}"


def _declare(harness: Harness, *items: str, head: str = "") -> None:
    harness.write("content/b.yaml", f"{head}items:\n{''.join(items)}")


BESIDES = _item("b", "B", "    metadata: {k: b}\n")
"""Another item with something to do, so that a file holds more than one change; where it is paid for, there are more stops."""


def _made(harness: Harness) -> None:
    _declare(harness, _item("a", "A"), _item("b", "B"))
    harness.apply()


def _stopped(harness: Harness, at: int) -> None:
    """An earlier apply, of other content, that did not come to its end."""
    _declare(harness, _item("w", "W"))
    harness.apply()
    _declare(harness, _item("w", "W"), _item("a", "A"), _item("b", "B"))
    _die(harness, at)


Kind = Callable[[Harness], dict[str, Any]]
"""Prepares a project; returns what is chosen on the command line."""


def _kind(
    *items: str,
    made: bool = True,
    edits: Iterable[tuple[str, str]] = (),
    gone: bool = False,
    head: str = "",
    **choice: Any,
) -> Kind:
    """Two items as they were, if `made`; then `a` is edited or gone, and `items`, if any, are declared in their place."""

    def prepare(harness: Harness) -> dict[str, Any]:
        if made:
            _made(harness)
        for old, new in edits:
            harness.edit("out/a.md", old, new)
        if gone:
            (harness.root / "out/a.md").unlink()
        if items:
            _declare(harness, *items, head=head)
        return choice

    return prepare


def replace_edited_and_saved(harness: Harness) -> dict[str, Any]:
    """The same requests once more, in place of a person's words, which the server has."""
    _made(harness)
    harness.edit("out/a.md", *EDITED)
    harness.apply()
    return {"replace": ("a", "b")}


def finish(harness: Harness) -> dict[str, Any]:
    """A job of an earlier plan."""
    _stopped(harness, 12)
    return {}


def finish_paid(harness: Harness) -> dict[str, Any]:
    """A text that an earlier plan has paid for, and that a file in its way kept from being written."""
    _stopped(harness, 1)

    def meanwhile(event: Event) -> None:
        if (event.kind, event.item, event.step) == ("step-done", "a", "submit"):
            harness.write("out/a.md", "Mine.\n")

    harness.apply(emit=meanwhile)
    (harness.root / "out/a.md").unlink()
    _declare(harness, _item("w", "W"), _item("a", "A"), _item("b", "B2"))
    return {}


def drain(harness: Harness) -> dict[str, Any]:
    """A job for a request no one wants any more."""
    _stopped(harness, 12)
    _declare(harness, _item("w", "W"), _item("a", "A2"), _item("b", "B"))
    return {}


def made_from_another(harness: Harness) -> dict[str, Any]:
    """A new item waits for the text of another one; what the server does with ids is known."""
    _declare(harness, _item("w", "W"))
    harness.apply()
    _declare(harness, _item("w", "W"), _item("a", "A"), _item("b", 'On {{ ref("a").title }}'))
    return {}


def front_matter_follows(harness: Harness) -> dict[str, Any]:
    """The front matter of an item uses a text that is generated again."""
    follows = _item("b", "B", "    metadata: {k: '{{ ref(\"a\").title }}', j: J}\n")
    _declare(harness, _item("a", "A"), follows)
    harness.apply()
    _declare(harness, _item("a", "A2"), follows)
    return {}


def front_matter_follows_an_update(harness: Harness) -> dict[str, Any]:
    """Another key changes at once, and one follows."""
    front_matter_follows(harness)
    _declare(harness, _item("a", "A2"), _item("b", "B", "    metadata: {k: '{{ ref(\"a\").title }}', j: K}\n"))
    return {}


def written_there(harness: Harness) -> dict[str, Any]:
    """Words in WriterzRoom that a person read in the plan, and replaces."""
    _made(harness)
    harness.api.edit(harness.record("a").content_id, "## Closing\n\nThere.\n")
    _declare(harness, _item("a", "A2"), _item("b", "B2"))
    return {"refresh": True, "on_edit": OnEdit.OVERWRITE}


A, A2, B, B2 = _item("a", "A"), _item("a", "A2"), _item("b", "B"), _item("b", "B2")
MOVED = "    output: out/x/a.md\n"
TITLED = ("title: ", "title: Mine, not ")
PAIR = "moved: [{from: a, to: z}]\n"

KINDS: dict[str, Kind] = {
    "create": _kind(A, B, made=False),
    "regenerate": _kind(A2, B2),
    "move": _kind(_item("a", "A", MOVED), B2),
    "move_and_regenerate": _kind(_item("a", "A2", MOVED), BESIDES),
    "update": _kind(_item("a", "A", "    metadata: {k: v, title: Another}\n"), BESIDES),
    "update_edited": _kind(_item("a", "A", "    metadata: {k: v}\n"), BESIDES, edits=[EDITED]),
    # All that can be done to an edited file at once, but for its text.
    "move_and_update_edited": _kind(
        _item("a", "A", f"{MOVED}    metadata: {{k: v, title: Other}}\n"), BESIDES, edits=[EDITED]
    ),
    "save": _kind(A, BESIDES, edits=[EDITED]),
    "save_title": _kind(A, BESIDES, edits=[TITLED]),
    "prune": _kind(B2, prune=True),
    "rename": _kind(_item("z", "A"), BESIDES),
    "moved_pair": _kind(_item("z", "A"), BESIDES, head=PAIR),
    "moved_pair_that_changed": _kind(_item("z", "A2"), BESIDES, head=PAIR),
    "restore": _kind(A, BESIDES, gone=True),
    "keep": _kind(A2, BESIDES, edits=[EDITED], on_edit=OnEdit.KEEP),
    "merge": _kind(A2, BESIDES, edits=[EDITED], on_edit=OnEdit.MERGE),
    "overwrite": _kind(A2, B2, edits=[EDITED], on_edit=OnEdit.OVERWRITE),
    # A selection that no longer holds once the run has begun.
    "select_edited": _kind(A2, B2, edits=[EDITED], on_edit=OnEdit.OVERWRITE, select=("state:edited",)),
    "replace": _kind(replace=("a", "b")),
    "replace_edited": _kind(edits=[EDITED], replace=("a", "b")),
    # The first new text of one fails its checks.
    "create_retried": _kind(_item("a", "A", "    checks: {excludes: [Take 1.], retries: 1}\n"), B, made=False),
    "replace_retried": _kind(_item("a", "A", "    checks: {excludes: [Take 2.], retries: 2}\n"), B, replace=("a", "b")),
    "protected": _kind(_item("a", "A2", "    protected: true\n    metadata: {k: v}\n"), BESIDES),
    "restore_with_metadata": _kind(_item("a", "A", "    metadata: {k: v}\n"), BESIDES, gone=True),
    "regenerate_retitled": _kind(A2, BESIDES, edits=[TITLED]),
    "overwrite_retitled": _kind(A2, BESIDES, edits=[EDITED, TITLED], on_edit=OnEdit.OVERWRITE),
    "merge_retitled": _kind(A2, BESIDES, edits=[EDITED, TITLED], on_edit=OnEdit.MERGE),
    **{
        kind.__name__: kind
        for kind in (
            *(replace_edited_and_saved, finish, finish_paid, drain, made_from_another, front_matter_follows),
            *(front_matter_follows_an_update, written_there),
        )
    },
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
