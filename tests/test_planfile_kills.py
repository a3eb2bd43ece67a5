"""A run of a plan file that stops anywhere: the same file, applied again, ends as a run that was never stopped."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from contentops.errors import Refused
from contentops.model import Event, OnEdit, Result
from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, quick_folder
from tests.fakes.kills import Death, EachKill
from tests.reviewing import apply_file, review

EDITED = ("out/a.md", "Closing", "The end")


def _item(id_: str, topic: str, more: str = "") -> str:
    return f"  - id: {id_}\n    inputs: {{topic: '{topic}', target_audience: readers}}\n{more}"


def _declare(harness: Harness, *items: str, head: str = "") -> None:
    harness.write("content/b.yaml", f"{head}items:\n{''.join(items)}")


BESIDES = _item("b", "B", "    metadata: {k: b}\n")
"""Another item with something to do, so that a file holds more than one change; where it is paid for, there are more stops."""


def _made(harness: Harness, *edit: str) -> None:
    """Two items as they were; `b` always has something to do besides."""
    _declare(harness, _item("a", "A"), _item("b", "B"))
    harness.apply()
    if edit:
        harness.edit(*EDITED)


def _stopped(harness: Harness, at: int) -> None:
    """An earlier apply, of other content, that did not come to its end."""
    _declare(harness, _item("w", "W"))
    harness.apply()
    _declare(harness, _item("w", "W"), _item("a", "A"), _item("b", "B"))
    _die(harness, at)


def create(harness: Harness) -> dict[str, Any]:
    """Two new items."""
    _declare(harness, _item("a", "A"), _item("b", "B"))
    return {}


def regenerate(harness: Harness) -> dict[str, Any]:
    """Both requests changed."""
    _made(harness)
    _declare(harness, _item("a", "A2"), _item("b", "B2"))
    return {}


def move(harness: Harness) -> dict[str, Any]:
    """Another output path."""
    _made(harness)
    _declare(harness, _item("a", "A", "    output: out/x/a.md\n"), _item("b", "B2"))
    return {}


def move_and_regenerate(harness: Harness) -> dict[str, Any]:
    """Another path and another request."""
    _made(harness)
    _declare(harness, _item("a", "A2", "    output: out/x/a.md\n"), BESIDES)
    return {}


def update(harness: Harness) -> dict[str, Any]:
    """A key of the front matter, and the title."""
    _made(harness)
    _declare(harness, _item("a", "A", "    metadata: {k: v, title: Another}\n"), BESIDES)
    return {}


def update_edited(harness: Harness) -> dict[str, Any]:
    """A key of the front matter in a file that was edited and not saved yet."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A", "    metadata: {k: v}\n"), BESIDES)
    return {}


def move_and_update_edited(harness: Harness) -> dict[str, Any]:
    """All that can be done to an edited file at once, but for its text."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A", "    output: out/x/a.md\n    metadata: {k: v, title: Other}\n"), BESIDES)
    return {}


def save(harness: Harness) -> dict[str, Any]:
    """An edit is told to the server."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A"), BESIDES)
    return {}


def save_title(harness: Harness) -> dict[str, Any]:
    """A title that a person changed is told to the server."""
    _made(harness)
    harness.edit("out/a.md", "title: ", "title: Mine, not ")
    _declare(harness, _item("a", "A"), BESIDES)
    return {}


def prune(harness: Harness) -> dict[str, Any]:
    """An item that is gone is removed."""
    _made(harness)
    _declare(harness, _item("b", "B2"))
    return {"prune": True}


def rename(harness: Harness) -> dict[str, Any]:
    """The same request under a new id."""
    _made(harness)
    _declare(harness, _item("z", "A"), BESIDES)
    return {}


def moved_pair(harness: Harness) -> dict[str, Any]:
    """A new id by `moved`."""
    _made(harness)
    _declare(harness, _item("z", "A"), BESIDES, head="moved: [{from: a, to: z}]\n")
    return {}


def moved_pair_that_changed(harness: Harness) -> dict[str, Any]:
    """A new id by `moved`, and another request."""
    _made(harness)
    _declare(harness, _item("z", "A2"), BESIDES, head="moved: [{from: a, to: z}]\n")
    return {}


def restore(harness: Harness) -> dict[str, Any]:
    """A file that is gone."""
    _made(harness)
    (harness.root / "out/a.md").unlink()
    _declare(harness, _item("a", "A"), BESIDES)
    return {}


def keep(harness: Harness) -> dict[str, Any]:
    """An edited file that answers the new request."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A2"), BESIDES)
    return {"on_edit": OnEdit.KEEP}


def merge(harness: Harness) -> dict[str, Any]:
    """An edited file, its request changed, and what was edited stays."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A2"), BESIDES)
    return {"on_edit": OnEdit.MERGE}


def overwrite(harness: Harness) -> dict[str, Any]:
    """An edited file whose words are given up."""
    _made(harness, *EDITED)
    _declare(harness, _item("a", "A2"), _item("b", "B2"))
    return {"on_edit": OnEdit.OVERWRITE}


def select_edited(harness: Harness) -> dict[str, Any]:
    """A selection that no longer holds once the run has begun."""
    overwrite(harness)
    return {"on_edit": OnEdit.OVERWRITE, "select": ("state:edited",)}


def replace(harness: Harness) -> dict[str, Any]:
    """The same requests once more."""
    _made(harness)
    return {"replace": ("a", "b")}


def replace_edited(harness: Harness) -> dict[str, Any]:
    """The same requests once more, in place of a person's words."""
    _made(harness, *EDITED)
    return {"replace": ("a", "b")}


def replace_edited_and_saved(harness: Harness) -> dict[str, Any]:
    """The same, and the server has those words."""
    _made(harness, *EDITED)
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


def create_retried(harness: Harness) -> dict[str, Any]:
    """Two new items, and the first text of one fails its checks."""
    _declare(harness, _item("a", "A", "    checks: {excludes: [Take 1.], retries: 1}\n"), _item("b", "B"))
    return {}


def replace_retried(harness: Harness) -> dict[str, Any]:
    """Both texts asked for again, and the first new one of one fails its checks."""
    _made(harness)
    _declare(harness, _item("a", "A", "    checks: {excludes: [Take 2.], retries: 2}\n"), _item("b", "B"))
    return {"replace": ("a", "b")}


def protected(harness: Harness) -> dict[str, Any]:
    """The request of a protected item changed, which is not generated, and its front matter."""
    _made(harness)
    _declare(harness, _item("a", "A2", "    protected: true\n    metadata: {k: v}\n"), BESIDES)
    return {}


def restore_with_metadata(harness: Harness) -> dict[str, Any]:
    """A file is gone, and its front matter changed."""
    _made(harness)
    (harness.root / "out/a.md").unlink()
    _declare(harness, _item("a", "A", "    metadata: {k: v}\n"), BESIDES)
    return {}


def merge_retitled(harness: Harness) -> dict[str, Any]:
    """A person edited text and title, and the request changed."""
    _made(harness, *EDITED)
    harness.edit("out/a.md", "title: ", "title: Mine, not ")
    _declare(harness, _item("a", "A2"), BESIDES)
    return {"on_edit": OnEdit.MERGE}


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


KINDS: dict[str, Callable[[Harness], dict[str, Any]]] = {
    made.__name__: made
    for made in (
        *(create, regenerate, move, move_and_regenerate, update, update_edited, move_and_update_edited),
        *(save, save_title, prune, rename, moved_pair, moved_pair_that_changed, restore, keep, merge, overwrite),
        *(select_edited, replace, replace_edited, replace_edited_and_saved, finish, finish_paid, drain),
        *(create_retried, replace_retried, protected, restore_with_metadata, merge_retitled),
        *(made_from_another, front_matter_follows, front_matter_follows_an_update),
    )
}
GENERATED = (create, regenerate, merge, replace_edited_and_saved, finish, finish_paid, drain, replace_retried)
"""Kinds in which a server that stores what its jobs made does something else, each in its own way."""
SEVERAL = (
    *(move_and_regenerate, update_edited, save_title, moved_pair, select_edited, replace_edited, create_retried),
    *(restore_with_metadata, merge_retitled, front_matter_follows),
)
"""Kinds whose steps are those of others together: some of the stops are enough."""
ALONE = (create, overwrite, replace, finish, made_from_another, move)
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


def _every(kind: Callable[[Harness], dict[str, Any]]) -> int:
    return 1 if kind in ALONE else 7 if kind in SEVERAL else 4


@pytest.mark.parametrize(("kind", "stores", "every"), [
    *(pytest.param(kind, False, _every(kind), id=kind.__name__) for kind in KINDS.values()),
    *(pytest.param(kind, True, 5, id=f"{kind.__name__}, jobs stored") for kind in GENERATED),
])  # fmt: skip
def test_a_stop_at_every_step_of_a_plan_file(
    kind: Callable[[Harness], dict[str, Any]], *, stores: bool, every: int, each_kill: EachKill
) -> None:
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
