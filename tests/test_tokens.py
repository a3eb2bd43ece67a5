"""Tokens: counted by the engine over all calls of a job, and never guessed where an endpoint does not say them."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.model import JobState
from contentops.server.app import create_app
from contentops.server.engines.chat import ChatClient, ModelEndpoint, Prompt
from contentops.server.engines.openai import OpenAIEngine
from contentops.server.engines.protocol import EngineError, TokenCount, WritingTask
from contentops.server.store import Clock, Store
from contentops.tokens import PaidTokens, TokenPrice, Tokens
from tests.fakes.api import FakeApi
from tests.fakes.asgi import Ticks, call, ended
from tests.fakes.chat import FakeChat, Raw, chatting, refused, said
from tests.fakes.harness import Harness, blog, results
from tests.running import Run

QUESTION = Prompt(system="s", user="u", tokens=50, temperature=0.5, seed=1)
WORDS = "A sentence about tides that is long enough to stay, number"


def chat(fake: FakeChat) -> ChatClient:
    """A client of the fake, on a clock that waits for nothing."""
    return ChatClient(ModelEndpoint(base_url=fake.url, model="m"), sleep=Ticks().sleep, seconds=5.0)


def counted(*answers: Raw) -> Tokens | None:
    """The tokens of one prompt that gets these answers, whether it succeeds or not."""
    count = TokenCount()

    async def main() -> None:
        async with chatting(lambda _body, number: answers[min(number, len(answers) - 1)]) as fake:
            with contextlib.suppress(EngineError):
                await chat(fake).ask(QUESTION, count)

    asyncio.run(main())
    return count.tokens


def usage(read: Any, wrote: Any, **others: Any) -> dict[str, Any]:
    """What an endpoint says of its tokens."""
    return {"prompt_tokens": read, "completion_tokens": wrote, **others}


@pytest.mark.parametrize(("answers", "tokens"), [
    pytest.param([said("x", usage=usage(7, 3, total_tokens=10))], (7, 3), id="plain"),
    pytest.param([said("x", usage=usage(7, 3, total_tokens=30))], (7, 23), id="thoughts-in-the-total-alone"),
    pytest.param([said("x", usage=usage(7, 3, total_tokens=2))], (7, 3), id="a-total-that-is-too-small"),
    pytest.param([said("x", usage=usage(0, 0))], (0, 0), id="a-cache-that-charges-nothing"),
    pytest.param([said("x", usage=usage(7, 50))], (7, 50), id="cut-off-counts"),
    pytest.param([said("", refusal="no", usage=usage(7, 3))], (7, 3), id="a-refusal-counts"),
    pytest.param([refused(429, "slow"), said("x", usage=usage(7, 3))], (7, 3), id="refused-first"),
    pytest.param([refused(400, "temperature"), said("x", usage=usage(7, 3))], (7, 3), id="a-parameter-refused"),
    pytest.param([refused(401, "key")], (0, 0), id="refused-for-good"),
    pytest.param([said("x")], None, id="no-usage"),
    pytest.param([said("x", usage=[1, 2])], None, id="a-list"),
    pytest.param([said("x", usage=usage("7", "3"))], None, id="strings"),
    pytest.param([said("x", usage=usage(7, None))], None, id="half"),
    pytest.param([said("x", usage=usage(7.5, 3))], None, id="fractions"),
    pytest.param([said("x", usage=usage(True, False))], None, id="booleans"),
    pytest.param([said("x", usage=usage(-7, 3))], None, id="negative"),
    pytest.param([said("x", usage=usage(7, 10**40))], None, id="huge"),
    pytest.param([Raw(cut=True), said("x", usage=usage(7, 3))], None, id="a-lost-answer"),
    pytest.param([refused(504, "late"), said("x", usage=usage(7, 3))], None, id="a-gateway-that-did-not-wait"),
    pytest.param([Raw(body=b"[" * 10_000)], None, id="no-json"),
])  # fmt: skip
def test_tokens_of_a_prompt(answers: list[Raw], tokens: tuple[int, int] | None) -> None:
    """Every attempt counts; one that may have been answered and does not say its tokens makes them unknown."""
    assert counted(*answers) == (None if tokens is None else Tokens(input=tokens[0], output=tokens[1]))


@pytest.mark.parametrize(("said_of_it", "tokens"), [
    pytest.param(usage(100, 3, prompt_tokens_details={"cached_tokens": 80}), (100, 3, 80), id="openai"),
    pytest.param(usage(100, 3, prompt_cache_hit_tokens=80), (100, 3, 80), id="deepseek"),
    pytest.param(usage(20, 3, cache_read_input_tokens=80, cache_creation_input_tokens=50, total_tokens=23), (150, 3, 80), id="anthropic"),
    pytest.param(usage(100, 3, prompt_tokens_details={"cached_tokens": 80}, cache_read_input_tokens=80), (100, 3, 80), id="both-forms-from-a-gateway"),
    pytest.param(usage(100, 3, prompt_tokens_details={"cached_tokens": 900}), (100, 3, 100), id="more-than-all"),
    pytest.param(usage(100, 3, prompt_tokens_details={"cached_tokens": None}), (100, 3, 0), id="none"),
])  # fmt: skip
def test_cached_tokens_of_a_prompt(said_of_it: dict[str, Any], tokens: tuple[int, int, int]) -> None:
    """Inside the tokens of the prompt in OpenAI's form, outside of them in Anthropic's; they have a price of their own.

    Without that price they cost what the others do, so that a plan's bound, which counts on no cache, holds.
    """
    found = counted(said("x", usage=said_of_it))
    assert found == Tokens(input=tokens[0], output=tokens[1], cached=tokens[2])
    price = TokenPrice(input=10, output=100, currency="USD")
    assert price.of(found) == 10 * tokens[0] + 100 * tokens[1]
    cheaper = TokenPrice(input=10, output=100, currency="USD", cached=1)
    assert cheaper.of(found) == price.of(found) - 9 * tokens[2]


def test_a_prompt_that_never_arrived_has_no_tokens() -> None:
    """No one listens, so nothing was written."""
    count = TokenCount()
    gone = ChatClient(ModelEndpoint(base_url="http://127.0.0.1:1/v1", model="m"), sleep=Ticks().sleep)
    with pytest.raises(EngineError, match="cannot be reached"):
        asyncio.run(gone.ask(QUESTION, count))
    assert count.tokens == Tokens(input=0, output=0)
    assert TokenCount().tokens is None


def told(_body: Any, number: int) -> Raw:
    """An answer that says its tokens."""
    return said(f"{WORDS} {number}.", usage=usage(100, 10))


@pytest.mark.parametrize("surface", ["/v1", "/api"])
def test_the_reply_of_a_job_has_the_tokens_of_all_its_calls(surface: str) -> None:
    """Beside the engine, on both surfaces."""
    submit = {"template_id": "blog_article_generator", "style_profile_id": "general_blog", "generation_mode": "quick"}
    inputs = {"topic": "Tides", "target_audience": "sailors"}
    body = {**submit, "user_input" if surface == "/api" else "inputs": inputs, "request_id": "r-1"}

    async def main() -> tuple[Any, int]:
        async with chatting(told) as fake:
            app = create_app(Store(), engine=OpenAIEngine(chat(fake)), clock=Clock(now=Ticks().now))
            await call(app, "POST", f"{surface}/generate", body)
            found = await ended(app, "r-1", surface)
            await app.state.close()
            return found, len(fake.asked)

    found, calls = asyncio.run(main())
    assert found["metadata"]["engine"] == "openai"
    assert found["metadata"]["tokens"] == {"input": 100 * calls, "output": 10 * calls}


def test_a_job_keeps_to_one_limit_across_restarts(tmp_path: Path) -> None:
    """What its answers have used is in its row beside them."""
    used: list[Tokens] = []

    class Watched(OpenAIEngine):
        async def _ask(self, task: WritingTask, *args: Any, **kwargs: Any) -> str:
            used.append(task.count.used)
            return await super()._ask(task, *args, **kwargs)

    asked = asyncio.Event()

    def third_is_lost(body: Any, number: int) -> Raw:
        if number == 2:
            asked.set()
        return Raw(silent=True) if number == 2 else told(body, number)

    async def main() -> Any:
        async with chatting(third_is_lost) as fake:

            def server() -> Any:
                store = Store(tmp_path / "store.sqlite")
                return create_app(store, engine=Watched(chat(fake)), clock=Clock(now=Ticks().now))

            before = server()
            submit = {"template_id": "blog_article_generator", "style_profile_id": "general_blog"}
            inputs = {"topic": "Tides", "target_audience": "sailors"}
            await call(before, "POST", "/v1/generate", {**submit, "inputs": inputs, "request_id": "r-1"})
            await asked.wait()
            await before.state.close()
            used.clear()
            app = server()
            found = await ended(app, "r-1")
            await app.state.close()
            return found

    found = asyncio.run(main())
    # What its calls used before the restart was lost with the process.
    assert (found["status"], found["metadata"]) == ("completed", {"engine": "openai", "model": "m"})
    assert used[0] == Tokens(input=200, output=20)


USED = PaidTokens(input=1200, output=800)
SAID = {"input": 1200, "output": 800}


def site(root: Path, tokens: Any = SAID, **habits: Any) -> Harness:
    """A project with the item `a`, on a server that says these tokens of each job."""
    return Harness(root, FakeApi(duration=30, tokens=tokens, **habits)).declared("a")


@pytest.mark.parametrize(("said", "habits"), [
    pytest.param(SAID, {}, id="flat"),
    pytest.param(SAID, {"envelope": True}, id="enveloped"),
    pytest.param(SAID, {"at_once": "named"}, id="in-the-answer-to-the-submit"),
    pytest.param(SAID, {"status_body": "absent"}, id="text-fetched-from-its-content"),
    *((said, {}) for said in (
        {"input": 5}, {"input": -1, "output": 1}, {"input": "5", "output": "6"}, {"input": 1.5, "output": 2},
        {"input": True, "output": False}, {"input": 10**30, "output": 1}, [1, 2], "many",
    )),
])  # fmt: skip
def test_a_record_has_the_tokens_that_the_reply_of_its_job_says(
    tmp_path: Path, said: Any, habits: dict[str, Any]
) -> None:
    """None where they cannot be believed; the text is taken all the same, and another apply rewrites nothing."""
    harness = site(tmp_path, said, **habits)
    assert results(harness.apply()) == {"a": "done"}
    assert harness.made_by("a").tokens == (USED if said == SAID else None)
    lock, jobs = ((tmp_path / name).read_bytes() for name in ("contentops.lock", "contentops.jobs"))
    assert (b'"tokens":{"input":1200,"output":800}' in jobs, b"tokens" in jobs) == (said == SAID,) * 2
    harness.apply()
    assert (tmp_path / "contentops.lock").read_bytes() == lock


def test_a_paid_text_that_waits_keeps_its_tokens(tmp_path: Path, processes: None) -> None:
    """The open entry has them, even where the cache is gone and the server says nothing of them any more."""
    harness = site(tmp_path)
    harness.write("content/blog.yaml", f"defaults: {{checks: {{excludes: [Introduction]}}}}\n{blog('a')}")
    harness.apply()
    [entry] = harness.state.open_jobs.values()
    assert (entry.state, entry.tokens) == (JobState.PAID, USED)
    shutil.rmtree(tmp_path / ".contentops" / "cache")
    harness.api.habits.tokens = None
    harness.applied("a")
    assert (harness.made_by("a").tokens, len(harness.api.generations)) == (USED, 1)


def test_a_record_keeps_the_price_of_its_day(tmp_path: Path, invoke: Run, processes: None) -> None:
    """A later price, in another currency, changes nothing of what was made before it."""
    harness = site(tmp_path)
    settings = (tmp_path / "contentops.yaml").read_text("utf-8")
    for year, price in (
        (2026, "{input: 0.25, output: 2, currency: USD}"),
        (2027, "{input: 1, output: 3, currency: EUR}"),
    ):
        harness.write("contentops.yaml", f"{settings}price: {price}\n")
        harness.applied("a", year=year)
    made = invoke("report", "--runs", "--select", "a", "--json", cwd=tmp_path).json["generations"]
    assert [one["money"] for one in made] == [{"EUR": "0.0036"}, {"USD": "0.0019"}]
    assert harness.plan().empty
