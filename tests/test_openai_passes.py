"""How the engine `openai` writes: one call or stages, headings and language of the brief, and answers that are no text."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from contentops import sections
from contentops.server import catalog
from contentops.server.engines import named
from contentops.server.engines.chat import ChatClient, ModelEndpoint
from contentops.server.engines.openai import OpenAIEngine
from contentops.server.engines.protocol import EngineError, TextRequest, WritingTask, WrittenText
from tests.fakes.asgi import Ticks
from tests.fakes.chat import FakeChat, Raw, chatting, refused, said, unreported
from tests.models import Model, shop
from tests.running import Build, Run

TEMPLATES = catalog.load()["templates"]
BLOG = next(entry for entry in TEMPLATES if entry["slug"] == "blog_article_generator")
HEADINGS = [section["heading"] for section in BLOG["sections"]]
GERMAN = ["Ebbe und Flut", "Was der Mond tut", "Ein Tag im Hafen", "Häufige Fehler", "Zum Schluss"]
WORDS = "Das Wasser kommt und geht zweimal am Tag, und der Hafen richtet sich danach, so gut er kann."


def task(mode: str = "quick", **inputs: Any) -> WritingTask:
    """A blog article on tides."""
    given = {"topic": "Tides", "target_audience": "sailors", **inputs}
    request = TextRequest(inputs=given, mode=mode)
    return WritingTask(id="r-1", request=request, template=BLOG, style={"name": "General"})


def article(headings: list[str], title: str = "# Die Gezeiten\n\n") -> str:
    """A whole text of a model, with these headings."""
    parts = [f"## {head}\n\n" + "\n\n".join(f"{head} {n}: {WORDS}" for n in range(4)) for head in headings]
    return title + "\n\n".join(parts)


def written(
    reply: Callable[[Any, int], Raw], one: WritingTask, passes: str = "one"
) -> tuple[WrittenText | EngineError, FakeChat, list[float]]:
    """What the engine makes of a task, the text or the error; what the model was asked; and the waits."""
    ticks = Ticks()

    async def main() -> tuple[WrittenText | EngineError, FakeChat]:
        async with chatting(reply) as fake:
            chat = ChatClient(ModelEndpoint(base_url=fake.url, model="m"), sleep=ticks.sleep, seconds=5.0)
            try:
                return await OpenAIEngine(chat, passes=passes).write(one, unreported), fake
            except EngineError as error:
                return error, fake

    return *asyncio.run(main()), ticks.slept


@pytest.mark.parametrize("mode", ["quick", "standard", "premium"])
def test_one_pass_is_one_call_with_the_models_title_and_headings(mode: str) -> None:
    """Sections stay sections, whatever level the model gives them; the prompt has the language and the contents."""
    loud = article(GERMAN).replace("## ", "# ").replace("# Die", "# Die", 1)
    draft, fake, _ = written(lambda _body, _number: said(loud), task(mode, language="German", word_count_target=300))
    assert isinstance(draft, WrittenText), draft
    assert (len(fake.asked), draft.title) == (1, "Die Gezeiten")
    assert [span.heading for head in GERMAN for span in sections.spans(draft.body, head)] == GERMAN
    assert re.findall(r"^(#+) ", draft.body, re.MULTILINE) == ["##"] * len(GERMAN)
    system, prompt = (message["content"] for message in fake.asked[0]["messages"])
    assert "Write Markdown, all of it in German." in system
    assert "no heading" not in system
    assert "about 300 words" in prompt
    assert not any(heading in prompt for heading in HEADINGS)
    assert all(section["holds"] in prompt for section in BLOG["sections"])


@pytest.mark.parametrize(("answer", "title"), [
    (article(GERMAN, "Title: **Die Gezeiten**\n\n"), "Die Gezeiten"),
    (article(GERMAN, ""), "Tides"),
    ("```markdown\n" + article(GERMAN) + "\n```", "Die Gezeiten"),
    ("<think>\nHm.\n</think>\n" + article(GERMAN), "Die Gezeiten"),
    (article([], "# Die Gezeiten\n\n") + "\n\n".join(f"{n} {WORDS}" for n in range(20)), "Die Gezeiten"),
], ids=["labelled", "untitled", "fenced", "thoughts", "no headings"])  # fmt: skip
def test_a_whole_text_in_any_form(answer: str, title: str) -> None:
    """The title is found, and is no part of the body."""
    draft, _, _ = written(lambda _body, _number: said(answer), task())
    assert isinstance(draft, WrittenText), draft
    assert draft.title == title
    assert "Die Gezeiten" not in draft.body
    assert "```" not in draft.body


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
    draft, fake, _ = written(planner(lines), task(language="German"), "staged")
    assert isinstance(draft, WrittenText), draft
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
    for template in TEMPLATES:
        assert [spec["name"] for spec in template["inputs"]].count("language") == 1
        assert not next(spec for spec in template["inputs"] if spec["name"] == "language")["required"]

    async def outline(**inputs: Any) -> str:
        return (await named("outline").write(task(**inputs), unreported)).body

    bare, german = asyncio.run(outline()), asyncio.run(outline(language="German"))
    assert german.replace(" The language is German.", "") == bare != german


SORRY = [
    "I'm sorry, but I can't assist with that request.",
    "I apologize, but I am unable to create an article that promotes tides.",
    "Unfortunately, I cannot help you with this topic. Please try another one.",
    "I cannot generate content about tides.",
]
BAD: dict[str, tuple[Raw, str]] = {
    **{f"refusal-{n}": (said(text), r"the model (refuses|speaks as an assistant) in ") for n, text in enumerate(SORRY)},
    "refusal-field": (said(None, refusal="No tides."), "the model refuses: No tides."),
    "filter": (said("Half", finish="content_filter"), r"gave no text \(content_filter\)"),
    "json": (said('{"title": "Tides", "body": "' + WORDS * 20 + '"}'), "the model answers with JSON in "),
    "fenced-json": (said('```json\n{"title": "Tides"}\n```'), "the model answers with JSON in "),
    "cut-off": (said(article(GERMAN), finish="length"), r"cut off at the token limit; raise it with `--max-tokens`"),
    "megabyte": (said("x " * 500_000), "sent 1,000,000 characters where"),
    "stopped-early": (said(article(GERMAN), finish="aborted"), "cut off"),
    "broken-off": (Raw(body=said(article(GERMAN)).body[:400], headers={"content-length": "9999"}), "cannot be reached"),
    "closed": (Raw(cut=True), "cannot be reached"),
    "events": (Raw(body=b'data: {"choices":[{"delta":{"content":"Ti', headers={"content-type": "text/event-stream"}), "is not a JSON object"),
    "empty": (said("   "), "the model wrote nothing "),
    "limited": (refused(429, "slow down", **{"retry-after": "7"}), "answered 429: slow down, 4 times in a row"),
}  # fmt: skip


@pytest.mark.parametrize("passes", ["one", "staged"])
@pytest.mark.parametrize(("answer", "message"), BAD.values(), ids=BAD)
def test_what_is_no_text_is_never_stored(answer: Raw, message: str, passes: str) -> None:
    """The first section or the whole text fails, and the error says what to do."""

    def reply(body: Any, _number: int) -> Raw:
        return said("Title: T") if body["messages"][1]["content"].startswith("Plan") else answer

    found, _, slept = written(reply, task(), passes)
    assert isinstance(found, EngineError)
    assert re.search(message, str(found)), str(found)
    assert len(str(found)) < 400
    if answer.status == 429:
        assert slept == [7.0] * 3


@pytest.mark.parametrize("name", ["refusal-0", "json", "cut-off", "megabyte"])
def test_a_bad_answer_on_the_command_line(project: Build, invoke: Run, name: str) -> None:
    """Nothing is written, the item says why, and the next apply with a better model finishes."""
    root = shop(project, extra="passes: one")
    answer, message = BAD[name]
    with Model(lambda _body, _number: answer) as model:
        found = invoke("apply", "--yes", cwd=root, env=model.env)
        assert found.code == 3
        assert re.search(message.replace("--max-tokens", "api.max_tokens"), found.stdout + found.stderr)
    assert not (root / "out").exists()
    with Model(lambda _body, _number: said(article(GERMAN))) as model:
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, len(model.prompts)) == (0, 1)
    assert "# Ebbe und Flut" in (root / "out/one.md").read_text(encoding="utf-8")
