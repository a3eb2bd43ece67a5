"""`schemas/writerzroom.openapi.json` is what the embedded server does: same routes, and no answer outside of it."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from starlette.routing import Route

from contentops.server.app import create_app
from contentops.server.engines import named
from contentops.server.store import Store
from tests.serving import served

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "schemas/writerzroom.openapi.json").read_text("utf-8")
)
OPERATIONS = [(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations]
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
BOUNDED = settings(
    max_examples=4, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for the whole module: what one request leaves behind, the next one meets."""
    with served(tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture(scope="module")
def contract() -> Any:
    """The document as schemathesis reads it; raises if it is no valid OpenAPI."""
    found = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))
    found.validate()
    return found


def test_every_route_is_described_and_none_is_made_up(contract: Any, takes_seconds: None) -> None:
    """The document names the paths and methods the server has, under both prefixes."""
    with Store() as store:
        app = create_app(store, engine=named("outline"))
    real = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert real == set(OPERATIONS)
    assert contract.raw_schema["openapi"].startswith("3.1")


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids="{}".format)
def test_no_request_is_answered_outside_the_contract(
    contract: Any, server: str, path: str, method: str, processes: None
) -> None:
    """Requests that fit the document, and requests that break it, get a status, type and body that stand in it."""
    modes = [GenerationMode.POSITIVE]
    operation = DOCUMENT["paths"][path][method]
    # A call with nothing but an id in its path cannot be made wrongly.
    if "requestBody" in operation or any(one.get("in") != "path" for one in operation.get("parameters", [])):
        modes.append(GenerationMode.NEGATIVE)
    for mode in modes:

        @seed(1)
        @BOUNDED
        @given(case=contract[path][method.upper()].as_strategy(generation_mode=mode))
        def probe(case: Any) -> None:
            case.call_and_validate(base_url=server, checks=CHECKS)

        probe()


def test_what_one_call_made_the_next_finds(contract: Any, server: str) -> None:
    """Along the document's links: jobs are polled, contents read, changed and removed, all within the contract."""
    machine = contract.as_state_machine()

    class Bound(machine):  # type: ignore[misc, valid-type]
        """The same, against the running server."""

        def get_call_kwargs(self, *_: Any) -> dict[str, Any]:
            return {"base_url": server}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Bound.run(settings=settings(BOUNDED, max_examples=8, stateful_step_count=8))


def ask(contract: Any, server: str, method: str, path: str, body: Any = None, **case: Any) -> Any:
    """One call that must be answered within the contract; `case` holds what else is sent. Gives the response."""
    if body is not None:
        case.update(body=body, media_type="application/json")
    return contract[path][method].Case(**case).call_and_validate(base_url=server, checks=CHECKS)


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
@pytest.mark.parametrize("kind", ["templates", "style-profiles", "verticals"])
def test_everything_on_offer_is_within_the_contract(contract: Any, server: str, prefix: str, kind: str) -> None:
    """Each template, style and vertical in the list has details of the described shape."""
    listed = ask(contract, server, "GET", f"{prefix}/{kind}").json()
    entries = listed["data"]["items"] if "data" in listed else listed[kind.replace("-", "_")]
    assert len(entries) > 5
    for entry in entries:
        found = ask(contract, server, "GET", f"{prefix}/{kind}/{{id}}", path_parameters={"id": entry["id"]})
        assert found.status_code == 200


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_the_life_of_a_text_is_within_the_contract(contract: Any, server: str, prefix: str) -> None:
    """Submit, poll to the end, read, write a section again, change, count and remove, each in the described shape."""

    def done(job_id: str) -> Any:
        while True:
            found = ask(contract, server, "GET", f"{prefix}/generate/status/{{id}}", path_parameters={"id": job_id})
            found = found.json().get("data", found.json())
            if found["status"] in {"completed", "failed"}:
                return found

    wanted = {
        "template_id": "press_release",
        "style_profile_id": "general_blog",
        "inputs": {
            "announcement_type": "opening",
            "company_name": "Acme",
            "headline_focus": "a second house",
            "target_media": "local press",
        },
    }
    taken = ask(contract, server, "POST", f"{prefix}/generate", wanted)
    assert (taken.status_code, done(taken.json()["request_id"])["status"]) == (202, "completed")
    lacking = ask(contract, server, "POST", f"{prefix}/generate", {**wanted, "inputs": {}}).json()["request_id"]
    assert done(lacking)["status"] == "failed"
    text = {"title": "T", "content": "## One\n\nwords\n\n## Two\n\nmore\n"}
    content_id = ask(contract, server, "POST", f"{prefix}/content/save", text).json()["contentId"]
    again = {"content_id": content_id, "section": "One"}
    section = ask(contract, server, "POST", f"{prefix}/content/regenerate-section", again)
    assert done(section.json()["request_id"])["status"] == "completed"
    here = {"path_parameters": {"id": content_id}}
    for method, body in (("GET", None), ("PUT", {"title": "New"}), ("DELETE", None)):
        assert ask(contract, server, method, f"{prefix}/content/{{id}}", body, **here).status_code == 200
    for path in ("/content", "/dashboard/stats", "/credits/usage"):
        assert ask(contract, server, "GET", prefix + path).status_code == 200


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_refusals_for_key_and_limit_are_within_the_contract(
    contract: Any, tmp_path: Path, prefix: str, processes: None
) -> None:
    """401 and 429 have the described shapes and headers."""
    allowed = {"Authorization": "Bearer k-1"}
    with served(tmp_path, "--requests-per-minute", "1", key="k-1") as server:
        assert ask(contract, server, "GET", f"{prefix}/content", headers={}).status_code == 401
        assert ask(contract, server, "GET", f"{prefix}/credits/usage", headers=allowed).status_code == 200
        refused = ask(contract, server, "GET", f"{prefix}/content", headers=allowed)
        assert (refused.status_code, 1 <= int(refused.headers["retry-after"][0]) <= 60) == (429, True)
