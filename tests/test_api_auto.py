"""The dialect `auto` through a whole apply: paid once, whatever the server takes and whenever the process dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.api import FakeApi, Killed, Seen, on
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

ALL = {"template_id", "style_profile_id", "inputs", "template", "style_profile", "user_input", "dynamic_parameters"}
TAKEN = {
    "v1": {"template_id", "style_profile_id", "inputs"},
    "v1-2026-04": {"template_id", "style_profile_id", "user_input"},
    "sdk": {"template", "style_profile", "dynamic_parameters"},
}


class Strict(FakeApi):
    """Refuses names it does not know, as a server with closed models does."""

    taken: frozenset[str] = frozenset()

    def _submit(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        extra = sorted((set(seen.body) & ALL) - self.taken)
        if extra:
            detail = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in extra]
            return 422, {"detail": detail}, {}
        return super()._submit(seen)


def scene_of(root: Path, api: FakeApi, *, rpm: int = 0, base_url: str = "https://api.example.test/v1") -> Scene:
    """A project that speaks `auto`."""
    scene = Scene(root, api, rpm=rpm, base_url=base_url)
    scene.edit("contentops.yaml", "requests_per_minute", "dialect: auto, requests_per_minute")
    scene.write("content/blog.yaml", blog("tea", "coffee", "cocoa"))
    return scene


@pytest.mark.parametrize("taken", [None, *TAKEN])
def test_an_apply_ends_as_with_the_right_dialect(taken: str | None, tmp_path: Path) -> None:
    """Every item is generated once and written, and the next plan is empty."""
    api = FakeApi(duration=90)
    if taken is not None:
        api = Strict(duration=90)
        api.taken = frozenset(TAKEN[taken])
    scene = scene_of(tmp_path, api)
    assert set(results(scene.apply()).values()) == {"done"}
    assert [api.charged(f"All about {topic} in 2026") for topic in ("tea", "coffee", "cocoa")] == [1, 1, 1]
    assert api.count("list templates") == 1
    assert api.count("submit") <= 3 + 3
    assert scene.plan().empty
    assert scene.record("tea").dialect == "auto"


@pytest.mark.parametrize("name", ["list templates", "submit"])
@pytest.mark.parametrize("when", ["kill", "kill-after"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_death_in_the_search_pays_nothing_twice(name: str, when: Any, number: int, tmp_path: Path) -> None:
    """Killed before or after any request of the search, a second apply ends with one charge per item."""
    api = Strict(duration=90)
    api.taken = frozenset(TAKEN["v1"])
    scene = scene_of(tmp_path, api)
    api.fault(on(name, number), when)
    if name == "list templates" and number == 2:
        scene.apply()
    else:
        with pytest.raises(Killed):
            scene.apply()
    api.heal()
    scene.apply()
    assert [len([each for each in api.charges if topic in each.topic]) for topic in ("tea", "coffee", "cocoa")] == [
        1,
        1,
        1,
    ]
    assert scene.plan().empty


def test_the_limit_holds_with_a_search(tmp_path: Path) -> None:
    """The few requests of a search cost at most a 429 or two, which are waited out."""
    api = Strict(duration=90, per_minute=10)
    api.taken = frozenset(TAKEN["sdk"])
    scene = scene_of(tmp_path, api, rpm=10)
    assert set(results(scene.apply()).values()) == {"done"}
    assert len(api.charges) == 3
    assert sum(seen.status == 429 for seen in api.requests) <= 3


def test_a_wrong_key_stops_the_run_before_any_submit(tmp_path: Path) -> None:
    """Told apart from a wrong address, though both are found out by the search."""
    api = FakeApi(key="another")
    run = scene_of(tmp_path, api).apply()
    assert run is not None
    assert run.stopped == "unauthorized"
    assert api.count("submit") == 0


def test_a_wrong_address_stops_the_run_before_any_submit(tmp_path: Path) -> None:
    """Nothing but free lists is asked for, and the message says where the API was looked for."""
    api = FakeApi()
    api.fault(on("list templates"), 404)
    run = scene_of(tmp_path, api).apply()
    assert run is not None
    assert api.count("submit") == 0
    assert any("no WriterzRoom API was found" in outcome.error for outcome in run.outcomes)
