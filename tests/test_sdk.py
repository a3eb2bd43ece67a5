"""The vendor's own SDK, as it is on the package index, works against `contentops serve`."""

import re
import time
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from writerzroom import WriterzRoomClient
from writerzroom.exceptions import APIError, AuthenticationError, RateLimitError

from tests.serving import served

KEY = "k-1"
INPUTS = {"topic": "Tides", "target_audience": "sailors"}


@pytest.fixture(scope="module")
def address(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for a key."""
    with served(tmp_path_factory.mktemp("room"), key=KEY) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[WriterzRoomClient]:
    """The SDK with the key."""
    with WriterzRoomClient(api_key=KEY, user_id="ann", base_url=address) as found:
        yield found


@pytest.mark.parametrize("mode", ["quick", "standard", "premium"])
def test_generate_and_wait(client: WriterzRoomClient, mode: str) -> None:
    """A submit gives an id, and waiting for it a text with title, words and metadata."""
    request_id = client.generate(
        template="blog_article_generator", style_profile="general_blog", dynamic_parameters=INPUTS,
        generation_mode=mode, vertical_id="saas_tech", brand_voice_id="bv_1",
    )  # fmt: skip
    found = client.wait_for_completion(request_id, poll_interval=0.01, timeout=30)
    assert (found.request_id, found.status, found.title) == (request_id, "completed", "Tides")
    assert "sailors" in found.content
    assert found.word_count == len(found.content.split()) > 50
    assert (found.metadata["title"], client.get_status(request_id)["progress"]) == ("Tides", 1.0)


def test_the_examples_of_its_readme_run_as_printed(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A topic alone is enough, and the style and vertical it names are there; only key and address are put in."""
    monkeypatch.setattr(
        "writerzroom.client.time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: time.sleep(0.01))
    )
    text = str(metadata("writerzroom").json["description"])
    quickstart, inside, errors = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    # The block on errors goes on with the client of the first; the one between closes its own.
    printed = f"{quickstart}\n{errors}\nclient.close()\n{inside}"
    filled = re.sub(r'api_key="[^"]+"', f'api_key="{KEY}", base_url="{address}"', printed)
    exec(filled, {})  # noqa: S102 - what the vendor printed
    first, second = capsys.readouterr().out.rsplit("Generated ", 1)
    assert first.startswith("> Draft outline")
    assert int(second.split()[0]) > 50


def test_lists(client: WriterzRoomClient) -> None:
    """Templates, styles and verticals come as the SDK reads them."""
    assert "blog_article_generator" in {entry["id"] for entry in client.list_templates()}
    assert len(client.list_style_profiles()) == 72
    verticals = {entry["id"] for entry in client.list_verticals()}
    assert verticals >= {"fintech", "healthcare", "legal", "medical_ai", "political", "saas_tech"}
    assert len(verticals) == 8


def test_errors_are_those_of_the_sdk_with_their_status(client: WriterzRoomClient, address: str) -> None:
    """A wrong key, what the template misses, an unknown job (404), template (500) and mode (400)."""
    with WriterzRoomClient(api_key="wrong", user_id="ann", base_url=address) as other:
        with pytest.raises(AuthenticationError):
            other.list_templates()
        with pytest.raises(AuthenticationError):
            other.generate(template="press_release", style_profile="general_blog")
    request_id = client.generate(template="blog_article_generator", style_profile="general_blog")
    with pytest.raises(APIError, match="Missing required input fields: topic, audience"):
        client.wait_for_completion(request_id, poll_interval=0.01, timeout=30)
    with pytest.raises(APIError, match="not found") as lost:
        client.get_status("nothing")
    assert lost.value.status_code == 404
    with pytest.raises(APIError, match="Template 'x' not found") as unknown:
        client.generate(template="x", style_profile="general_blog")
    assert unknown.value.status_code == 500
    with pytest.raises(APIError, match="must be one of") as mode:
        client.generate(template="press_release", style_profile="general_blog", generation_mode="turbo")
    assert mode.value.status_code == 400


def test_a_limit_is_a_rate_limit_error(tmp_path: Path, processes: None) -> None:
    """With the documented limit, the eleventh request in a minute is 429."""
    with (
        served(tmp_path, "--requests-per-minute", "10", key=KEY) as address,
        WriterzRoomClient(api_key=KEY, user_id="ann", base_url=address) as client,
    ):
        for _ in range(10):
            client.list_verticals()
        with pytest.raises(RateLimitError):
            client.list_verticals()
