"""What free requests say before anything is paid for: slugs that the server does not list, and texts it would not save."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.errors import ApiError, InputError
from contentops.model import ItemId
from contentops.operations import doctor
from tests.fakes.api import FakeApi
from tests.fakes.backend import PublicBackend
from tests.fakes.harness import Harness, blog, results

LISTS = ("list templates", "list styles", "list verticals")
BASE = "https://api.example.test"


def _harness(root: Path, api: FakeApi, *items: dict[str, Any], base: str = f"{BASE}/v1", rpm: int = 0) -> Harness:
    harness = Harness(root, api, base_url=base, rpm=rpm)
    inputs = {"topic": "Tea", "target_audience": "readers"}
    listed = [{"inputs": {**inputs, "topic": item["id"]}, **item} for item in items or ({"id": "tea"},)]
    harness.write("content/a.yaml", json.dumps({"items": listed}))
    return harness


def _asked(api: FakeApi) -> list[int]:
    return [api.count(name) for name in LISTS]


def _refused(harness: Harness, **choice: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        harness.apply(**choice)
    assert harness.api.count("submit") == 0
    assert not harness.state.open_jobs
    return tuple(f"{found.code}: {found.message} ({found.hint})" for found in caught.value.findings)


# --- slugs -------------------------------------------------------------------------------------------------


def test_slugs_that_the_server_does_not_list_are_refused(tmp_path: Path, invoke: Any) -> None:
    """Each by its item, with the nearest; none of it is paid for."""
    api = FakeApi(duration=30, verticals=("legal", "fintech"))
    items = (
        {"id": "tea", "style": "genral_blog"},
        {"id": "cup", "style": "genral_blog"},
        {"id": "pot", "vertical": "leagl"},
    )
    harness = _harness(tmp_path, api, *items, {"id": "zen", "template": "haiku"})
    end = f", which is not in the list of `{BASE}:443`; nothing was submitted"
    said = (
        f"unknown-template: item `zen` names the template `haiku`{end} (`contentops catalog pull` updates the catalog)",
        f"unknown-style: item `cup` and 1 more names the style `genral_blog`{end} (did you mean `general_blog`?)",
        f"unknown-vertical: item `pot` names the vertical `leagl`{end} (did you mean `legal`?)",
    )
    assert _refused(harness) == said
    assert _asked(api) == [3, 2, 1]  # a second page might have had them, and the first search asked for templates
    with pytest.raises(InputError) as caught:
        harness.apply()
    assert caught.value.exit_code == 1
    assert caught.value.findings[0].location is not None
    assert _asked(api) == [5, 4, 2]  # what is missing may have come since


@pytest.mark.parametrize("answer", [
    httpx.Response(500, json={"detail": "no"}),
    httpx.Response(403, json={"detail": "no"}),
    httpx.Response(200, json={"style_profiles": []}),
    httpx.Response(200, json={"style_profiles": [{"id": "one"}, {"number": 2}]}),
    httpx.Response(200, json={"style_profiles": [{"id": "one"}], "count": 71, "page": 1, "limit": 20}),
    httpx.Response(200, text="<!doctype html>"),
])  # fmt: skip
def test_what_cannot_be_said_is_no_refusal(answer: httpx.Response, tmp_path: Path) -> None:
    """A list that fails, is empty, is unreadable in part, or does not show all of itself."""
    api = FakeApi(duration=30)
    api.fault(lambda name, _: name == "list styles", lambda: answer)
    assert results(_harness(tmp_path, api, {"id": "a", "style": "later"}).apply()) == {"a": "done"}
    assert api.count("list styles") <= 2


@pytest.mark.parametrize("style", ["s150", "s300"])
def test_all_pages_of_a_list_are_read(style: str, tmp_path: Path) -> None:
    """A slug may be on any of them."""
    slugs = [f"s{number:03}" for number in range(230)]
    api = FakeApi(duration=30)

    def listed() -> httpx.Response:
        page = int(httpx.QueryParams(api.requests[-1].query).get("page", "1"))
        items = [{"id": slug} for slug in slugs[(page - 1) * 100 : page * 100]]
        data = {"items": items, "count": len(slugs), "page": page, "limit": 100}
        return httpx.Response(200, json={"success": True, "data": data})

    api.fault(lambda name, _: name == "list styles", listed)
    harness = _harness(tmp_path, api, {"id": "a", "style": style})
    if style in slugs:
        assert results(harness.apply()) == {"a": "done"}
    else:
        assert "unknown-style: item `a` names the style `s300`" in _refused(harness)[0]
    assert api.count("list styles") == 3


# --- saving ------------------------------------------------------------------------------------------------


def _backend(tmp_path: Path, **habits: Any) -> Harness:
    return _harness(tmp_path, PublicBackend(duration=30, needs_user=True, **habits), base=f"{BASE}/api")


def test_a_server_that_saves_nothing_without_a_user_id_is_refused(tmp_path: Path) -> None:
    """Before the first submit, and `doctor` says the same."""
    harness = _backend(tmp_path)
    with pytest.raises(ApiError) as refused:
        harness.apply()
    assert refused.value.code == "no-user"
    assert refused.value.message.startswith("`WRITERZROOM_USER_ID` is not set, and the server needs it to save texts:")
    assert refused.value.hint == "export WRITERZROOM_USER_ID=..., with the account's user id; nothing was submitted"
    assert [seen.name for seen in harness.api.requests] == ["list templates", "list content"]
    assert not harness.state.open_jobs
    check = next(one for one in doctor.doctor(harness.project, harness.runtime()) if one.name == "server")
    assert (check.ok, check.message) == (False, refused.value.message)


def test_a_user_id_or_no_saving_is_all_it_needs(tmp_path: Path) -> None:
    """Then nothing is asked for it."""
    harness = _backend(tmp_path)
    harness.edit("contentops.yaml", "requests_per_minute: 0", "requests_per_minute: 0, save: off")
    assert (results(harness.apply()), harness.api.count("list content")) == ({"tea": "done"}, 0)
    harness.edit("contentops.yaml", ", save: off", "")
    harness.write("content/b.yaml", blog("b"))
    runtime = harness.runtime()
    runtime.environ["WRITERZROOM_USER_ID"] = "u1"  # type: ignore[index]
    harness.runtime = lambda: runtime  # type: ignore[method-assign]
    assert results(harness.apply()) == {"b": "done", "tea": "done"}
    assert harness.state.records[ItemId("b")].saved is not None
    check = next(one for one in doctor.doctor(harness.project, runtime) if one.name == "server")
    assert check.ok
