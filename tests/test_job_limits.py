"""The limit of a text's tokens: no sequence of answers goes beyond it, and no honest model meets it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.model import Request
from contentops.server import catalog
from contentops.server.engines.chat import ChatClient, ModelEndpoint
from contentops.server.engines.openai import OpenAIEngine
from contentops.server.engines.protocol import (
    EngineError,
    SectionTask,
    SpentError,
    TextRequest,
    WritingTask,
)
from contentops.tokens import NO_TOKENS, OVERHEAD, Tokens, section_limit, text_limit
from tests.fakes.asgi import Ticks
from tests.fakes.chat import Raw, chatting, refused, said, unreported
from tests.running import examples

KNOWN = catalog.load()
TEMPLATES = {entry["slug"]: entry for entry in KNOWN["templates"]}


def task_of(request: Request) -> WritingTask:
    """The task of the bundled server for a request."""
    asked = TextRequest(
        inputs=request.inputs,
        mode=request.mode or "standard",
        vertical=request.vertical,
        brand_voice=request.brand_voice,
    )
    return WritingTask(id="r-1", request=asked, template=TEMPLATES[request.template], style=KNOWN["styles"][0])


def limit_of(request: Request, max_tokens: int = 0, *, section: bool = False, passes: str = "staged") -> Tokens:
    """The limit that a plan counts for it."""
    fields = {name: value for name, value in request.as_json().items() if name != "inputs"}
    if section:
        return section_limit(request.mode, fields, request.inputs, max_tokens)
    return text_limit(request.mode, fields, request.inputs, max_tokens, passes=passes)


def used(
    request: Request,
    reply: Callable[[Any, int], Raw],
    *,
    max_tokens: int = 0,
    section: SectionTask | None = None,
    passes: str = "staged",
) -> tuple[Tokens, EngineError | None]:
    """What an honest count of the answers comes to, at one token for each byte, and how the job failed, if it did."""
    counted = [NO_TOKENS]

    def counting(body: Any, number: int) -> Raw:
        answer = reply(body, number)
        if answer.status < 400:
            charged = greedy(body)
            counted[0] += Tokens(input=charged["prompt_tokens"], output=charged["completion_tokens"])
        return answer

    async def main() -> EngineError | None:
        async with chatting(counting) as fake:
            chat = ChatClient(ModelEndpoint(base_url=fake.url, model="m"), sleep=Ticks().sleep, seconds=5.0)
            engine = OpenAIEngine(chat, max_tokens=max_tokens, passes=passes)
            try:
                if section is None:
                    await engine.write(task_of(request), unreported)
                else:
                    await engine.rewrite(task_of(request), section, unreported)
            except EngineError as error:
                return error
            return None

    error = asyncio.run(main())
    return counted[0], error


def greedy(body: Any) -> dict[str, int]:
    """The usage of a model's server that counts each byte as a token, and charges every token that it may."""
    size = sum(len(message["content"].encode()) for message in body["messages"])
    return {"prompt_tokens": size + OVERHEAD, "completion_tokens": body["max_tokens"] - 1}


REQUESTS = st.builds(
    Request,
    template=st.sampled_from(sorted(TEMPLATES)),
    style=st.just("general_blog"),
    mode=st.sampled_from(("quick", "standard", "premium")),
    vertical=st.none() | st.text(max_size=400),
    brand_voice=st.none() | st.text(max_size=400),
    inputs=st.dictionaries(
        st.text(min_size=1, max_size=100) | st.sampled_from(["topic", "article_tone", "title"]),
        st.text(max_size=200)
        | st.text(alphabet="ကမ", min_size=1000, max_size=5000)
        | st.lists(st.integers(), max_size=9),
        max_size=5,
    ).flatmap(lambda given: st.sampled_from([given, {**given, "word_count_target": 4000}])),
)


@settings(max_examples=examples(15))
@given(REQUESTS, st.integers(0, 2**32), st.sampled_from([0, 0, 300, 5000]))
def test_no_model_uses_more_than_the_limit(request: Request, seed: int, max_tokens: int) -> None:
    """Whatever it answers, however greedy it counts, and whether a whole text or a section is written."""
    chance = random.Random(seed)
    section = SectionTask(heading="H", text="Some words.", document="x" * chance.choice([10, 50_000]))

    def reply(body: Any, number: int) -> Raw:
        kind = chance.choice(["text", "text", "text", "long", "empty", "cut", "busy", "refusal"])
        if kind == "busy":
            return refused(429, "slow down")
        words = {"long": "ကမ " * 4000, "empty": " ", "refusal": "As an AI language model, I cannot."}.get(kind, "")
        return said(
            words or f"Words {number} {chance.random()}.",
            finish="length" if kind == "cut" else "stop",
            usage=greedy(body),
        )

    for part, passes in ((None, "staged"), (None, "one"), (section, "staged")):
        tokens, _ = used(request, reply, max_tokens=max_tokens, section=part, passes=passes)
        limit = limit_of(request, max_tokens, section=part is not None, passes=passes)
        assert tokens.input <= limit.input
        assert tokens.output <= limit.output


PROSE = {
    "latin": "The tide comes in twice on most days, and each time a little later than before, says {}. ",
    "chinese": "潮水每天来两次，每次都比前一次晚一点，{}这样说。",
}


@pytest.mark.parametrize(("mode", "passes", "reports", "script"), [
    ("quick", "staged", True, "latin"),
    ("standard", "staged", False, "chinese"),
    ("premium", "staged", True, "chinese"),
    ("premium", "one", False, "latin"),
])  # fmt: skip
def test_an_honest_model_is_never_stopped(mode: str, passes: str, reports: bool, script: str) -> None:
    """It writes as much as it may in every call, and one call in four has to be repeated."""
    by_sections = {len(template["sections"]): slug for slug, template in TEMPLATES.items()}
    for slug in by_sections.values():
        template = TEMPLATES[slug]
        names = [spec["name"] for spec in template["inputs"] if spec["type"] in {"text", "textarea"}]
        inputs = dict.fromkeys(names, PROSE[script].format("she") * 2) | {"word_count_target": 1500}
        request = Request(template=slug, style="general_blog", mode=mode, inputs=inputs)

        def reply(body: Any, number: int) -> Raw:
            asked = "".join(message["content"] for message in body["messages"])
            room = body["max_tokens"]
            # About four letters of a Latin script, or one of another, are a token.
            one = PROSE[script].format(number)
            each = len(one) / 4 if script == "latin" else len(one)
            text = "\n\n".join(PROSE[script].format(f"{number}-{at}") for at in range(max(1, int(0.8 * room / each))))
            read = len(asked) // 4 if script == "latin" else len(asked)
            usage = {"prompt_tokens": read, "completion_tokens": int(room * 0.8)} if reports else None
            return said(text, finish="length" if number % 4 == 3 else "stop", usage=usage)

        _, error = used(request, reply, passes=passes)
        assert not isinstance(error, SpentError), (slug, error)


def test_a_model_that_never_makes_sense_is_stopped() -> None:
    """Not after three tries for each section, but as soon as the limit could be passed."""
    request = Request(template="blog_article_generator", style="general_blog", mode="quick", inputs={"topic": "Tides"})
    repeated = lambda body, number: said(  # noqa: E731
        "" if number % 3 else f"A sentence {number}.", usage=greedy(body)
    )
    tokens, error = used(request, repeated)
    assert isinstance(error, SpentError)
    assert "the model needed too many tries for one text (at most " in str(error)
    assert tokens.output <= limit_of(request).output
