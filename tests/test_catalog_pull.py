"""`catalog pull`: what it asks, what it keeps, what it writes, and how it fails."""

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from msgspec import structs

from contentops.api.outcomes import RETRY
from contentops.errors import ApiError, Check, InputError
from contentops.manifests.catalog_lock import FILE, encode
from contentops.model import Catalog
from contentops.operations import catalog as catalogs
from contentops.operations import doctor as doctor_operation
from contentops.operations import plan as plan_operation
from contentops.operations import workspace
from contentops.operations import workspace as project_catalog
from contentops.operations.catalog import Pulled
from contentops.planning import sides as planning_inputs
from contentops.schema_files import load_schema
from tests.fakes.harness import Harness, blog
from tests.shop import Shop

SERVER = "https://api.example.test:443"
DOWN = httpx.Response(503, json={"detail": "maintenance"})


def harness_of(root: Path, shop: Shop, *, rpm: int = 0, api: str = "") -> Harness:
    """A project whose server is `shop`."""
    harness = Harness(root, shop, rpm=rpm)  # type: ignore[arg-type]  # only its transport is used
    harness.write("content/blog.yaml", blog("tea", "coffee"))
    harness.edit("contentops.yaml", "requests_per_minute", f"{api or 'dialect: v1'}, requests_per_minute")
    return harness


def pull(harness: Harness, said: list[str] | None = None) -> Pulled:
    """Pull on virtual time."""
    return catalogs.pull(
        harness.project, runtime=structs.replace(harness.runtime(), notify=([] if said is None else said).append)
    )


def many(count: int) -> dict[str, Any]:
    """Templates with one required input each."""
    return {f"t{number:03}": {"topic": {"type": "text", "required": True}} for number in range(count)}


def test_a_second_pull_changes_no_byte(tmp_path: Path) -> None:
    """The same catalog is the same file, not even written again, whatever order the server lists it in."""
    shop = Shop(many(3))
    harness = harness_of(tmp_path, shop)
    assert pull(harness).written
    before = harness.bytes()
    shop.templates = dict(reversed(shop.templates.items()))
    again = pull(harness)
    assert (again.first, again.written, again.changes) == (False, False, ())
    assert (harness.bytes(), shop.paths.count("/templates/t000")) == (before, 2)


@pytest.mark.parametrize(("habit", "pages"), [("enveloped", 3), ("flat", 2), ("repeating", 2)])
def test_pages(habit: str, pages: int, tmp_path: Path) -> None:
    """Pages over 100 are asked for until nothing new comes, also where a server does not know pages."""
    shop = Shop(many(3), styles=tuple(f"s{number:03}" for number in range(250)), habit=habit)
    pulled = pull(harness_of(tmp_path, shop))
    assert len(pulled.snapshot.styles) == (100 if habit == "repeating" else 250)
    assert len([path for path in shop.paths if path.startswith("/style-profiles")]) == pages
    short = "the server shows 100 of its 250 styles; the others are not in `catalog.lock.json`"
    assert pulled.notes == ((short,) if habit == "repeating" else ())


def _paging(path: str, says: str) -> httpx.Response | None:
    """Seventy styles in pages of twenty, of a server that says so in one way or another."""
    route, _, query = path.partition("?")
    if route != "/style-profiles":
        return None
    asked = httpx.QueryParams(query)
    page, limit = int(asked.get("page", 1)), 20 if says == "fixed" else int(asked.get("limit", 20))
    if page > 4 and says == "refusing":
        return httpx.Response(422, json={"detail": "no such page"})
    items = [{"id": f"s{number:03}"} for number in range(70)][(page - 1) * limit : page * limit]
    more = {"total": {"total": 70}, "limit": {"page": page, "limit": limit}, "counting": {"count": len(items)}}
    return httpx.Response(200, json={"style_profiles": items, **more.get(says, {})})


@pytest.mark.parametrize("says", ["nothing", "fixed", "total", "limit", "counting", "refusing"])
def test_small_pages_are_read_to_the_end(says: str, tmp_path: Path) -> None:
    """Whatever a server says of them: they are asked for in the size of the first."""
    shop = Shop(when=lambda path, _: _paging(path, says))
    pulled = pull(harness_of(tmp_path, shop))
    assert (len(pulled.snapshot.styles), pulled.notes) == (70, ())
    assert len([path for path in shop.paths if path.startswith("/style-profiles")]) <= 5


def test_a_server_without_descriptions_is_not_asked_for_all(tmp_path: Path) -> None:
    """After three templates in a row without one, the rest is not asked for."""
    shop = Shop(dict.fromkeys(many(40)))
    pulled = pull(harness_of(tmp_path, shop))
    assert len([path for path in shop.paths if path.startswith("/templates/")]) == 3
    assert {one.inputs_known for one in pulled.snapshot.templates.values()} == {False}
    assert pulled.notes[0].endswith("`t000`, `t001`, `t002`, `t003`, `t004`, ..., so they are not checked")


@pytest.mark.parametrize(("path", "answer"), [
    ("/verticals", httpx.Response(403, json={})), ("/verticals", httpx.Response(501, json={})),
    ("/brand-voices", httpx.Response(400, json={})), ("/brand-voices", httpx.Response(404, html="<html>")),
    ("/brand-voices", httpx.Response(200, html="<html>home")), ("/brand-voices", httpx.Response(200, json={"hello": 1})),
], ids=str)  # fmt: skip
def test_verticals_and_brand_voices_may_be_absent(path: str, answer: httpx.Response, tmp_path: Path) -> None:
    """Whatever stands at an address that no one documents; those of a server that does not tell them are unchecked."""
    harness = harness_of(tmp_path, Shop(when=lambda asked, _: answer if asked == path else None))
    pulled = pull(harness)
    said = "the server does not list its verticals, so they are not checked"
    assert (pulled.written, pulled.notes) == (True, (said,) if path == "/verticals" else ())
    catalog = project_catalog.catalog_of(harness.project)
    assert catalog is not None
    assert (catalog.verticals if path == "/verticals" else catalog.brand_voices) is None


def test_brand_voices_that_a_server_lists_are_kept_and_checked(tmp_path: Path) -> None:
    """They are in the file, and an item that names another one is an error with a hint."""
    listed = {"brand_voices": [{"id": "bv_acme", "name": "Acme", "tone": "warm"}, {"id": "bv_dry", "tone": "dry"}]}
    shop = Shop(when=lambda path, _: httpx.Response(200, json=listed) if path == "/brand-voices" else None)
    harness = harness_of(tmp_path, shop)
    assert pull(harness).written
    document = json.loads(harness.read(FILE))
    jsonschema.validate(document, load_schema("catalog"))
    told = document["servers"][SERVER]["brand_voices"]
    assert [(one["slug"], one["tone"]) for one in told] == [("bv_acme", "warm"), ("bv_dry", "dry")]
    harness.write("content/blog.yaml", "items: [{id: tea, brand_voice: bv_acne, inputs: {topic: Tea}}]\n")
    with pytest.raises(InputError) as raised:
        workspace.validate(harness.project)
    finding = next(one for one in raised.value.findings if one.code == "unknown-brand-voice")
    assert "did you mean `bv_acme`" in finding.hint
    harness.edit("content/blog.yaml", "bv_acne", "bv_acme")
    assert workspace.validate(harness.project).findings == ()


def test_a_failure_keeps_the_file(tmp_path: Path) -> None:
    """The old file stands until all is there; the next pull fetches all."""
    shop = Shop(many(6))
    harness = harness_of(tmp_path, shop)
    pull(harness)
    before = harness.read(FILE)
    shop.templates |= {"t999": {"x": {}}}
    shop.when = lambda path, _: DOWN if path == "/templates/t004" else None
    with pytest.raises(ApiError) as raised:
        pull(harness)
    assert raised.value.message == (
        "`GET https://api.example.test/v1/templates/t004` (503): maintenance (`catalog.lock.json` is as it was)"
    )
    assert harness.read(FILE) == before
    shop.when = lambda _path, _n: None
    shop.log.clear()
    pulled = pull(harness)
    assert [(one.how, one.slug) for one in pulled.changes] == [("added", "t999")]
    assert len([path for path in shop.paths if path.startswith("/templates/")]) == 7


@pytest.mark.parametrize("what", ["/templates", "/style-profiles"])
def test_an_empty_list_is_not_taken_over(what: str, tmp_path: Path) -> None:
    """A server that suddenly lists nothing does not empty the file."""
    shop = Shop()
    harness = harness_of(tmp_path, shop)
    pull(harness)
    before = harness.read(FILE)
    shop.when = lambda path, _: (
        httpx.Response(200, json={"templates": [], "style_profiles": []}) if path == what else None
    )
    with pytest.raises(ApiError, match="lists no"):
        pull(harness)
    assert harness.read(FILE) == before


def throttling(seconds: str) -> httpx.Response:
    """A 429 that asks to wait."""
    return httpx.Response(429, json={"error": "quota"}, headers={"Retry-After": seconds})


@pytest.mark.parametrize(("path", "answer", "words", "hint", "least", "most"), [
    pytest.param("", DOWN, "maintenance", "try again later", RETRY.total, RETRY.total + RETRY.longest, id="down"),
    pytest.param("", throttling("3600"), "quota", "requests_per_minute", 0, 1, id="a long wait"),
    pytest.param("", throttling("20"), "quota", "", 300, 400, id="short waits without end"),
    pytest.param("/style-profiles?page=2", DOWN, "maintenance", "", 0, 100, id="half a list"),
    pytest.param("/brand-voices", DOWN, "maintenance", "", 0, 100, id="what may be absent"),
])  # fmt: skip
def test_what_ends_a_pull(
    tmp_path: Path, path: str, answer: httpx.Response, words: str, hint: str, least: float, most: float
) -> None:
    """Tries are bounded in time, a long wait is not waited for, and nothing that is half there is taken over."""
    harness = harness_of(tmp_path, Shop(when=lambda asked, _: answer if asked.startswith(path) else None))
    with pytest.raises(ApiError, match=words) as raised:
        pull(harness)
    assert hint in raised.value.hint
    assert least <= harness.timeline.now <= most
    assert not (tmp_path / FILE).exists()


def test_a_broken_file_is_written_anew(tmp_path: Path) -> None:
    """It is said, and it is the cure the error names."""
    harness = harness_of(tmp_path, Shop())
    harness.write(FILE, "<<<<<<< HEAD\n")
    with pytest.raises(InputError) as raised:
        plan_operation.plan(harness.project, planning_inputs.Choice())
    assert "contentops catalog pull" in raised.value.findings[0].hint
    assert "is replaced" in pull(harness).notes[0]
    assert project_catalog.catalog_of(harness.project) is not None


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """An old program does not overwrite what a newer one wrote."""
    harness = harness_of(tmp_path, Shop())
    harness.write(FILE, '{"format_version": "2.0", "servers": {}}')
    with pytest.raises(InputError, match="error"):
        pull(harness)
    assert harness.read(FILE) == '{"format_version": "2.0", "servers": {}}'


def test_broken_manifests_do_not_stop_a_pull(tmp_path: Path) -> None:
    """What changed is told all the same."""
    shop = Shop(many(1))
    harness = harness_of(tmp_path, shop)
    pull(harness)
    harness.write("content/blog.yaml", "items: [")
    shop.templates = many(2)
    pulled = pull(harness)
    assert [one.items for one in pulled.changes] == [()]
    assert "manifests have errors" in pulled.notes[-1]


def checks(harness: Harness) -> dict[str, Check]:
    """What `doctor` finds, by name."""
    return {one.name: one for one in doctor_operation.doctor(harness.project, harness.runtime())}


@pytest.mark.parametrize(("text", "ok", "words"), [
    ("{", False, "catalog.lock.json: the file is cut off or is not JSON"),
    (encode({"https://other.example:443": Catalog()}), None, "was made for `https://other.example:443`"),
    (encode({}), None, "names no server"),
])  # fmt: skip
def test_doctor_looks_at_the_file(text: str, ok: bool | None, words: str, tmp_path: Path) -> None:
    """Broken, foreign and empty files are told apart."""
    harness = harness_of(tmp_path, Shop())
    harness.write(FILE, text)
    found = checks(harness)["catalog"]
    assert found.ok is ok
    assert words in found.message
    if ok is None:
        with pytest.raises(ApiError, match="there is no catalog of") as raised:
            catalogs.known_catalog(harness.project)
        assert words in raised.value.message
