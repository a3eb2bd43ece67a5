"""A model in the settings: the bundled server calls it in the process of the command."""

import contextlib
import json
import random
import re
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.chat import Raw, refused, said
from tests.models import MODEL_PROJECT, Model, shop, whole, writes
from tests.processes import PATIENCE, started
from tests.running import Build, Run

SECRET = "sk-very-secret-12345"


def text_of(root: Path, item: str = "one") -> str:
    """The file of an item."""
    return (root / "out" / f"{item}.md").read_text(encoding="utf-8")


def test_a_model_writes_in_the_process_of_the_command(project: Build, invoke: Run, processes: None) -> None:
    """Prose in the file, its model in the jobs, the front matter and the provenance; the next plan is empty."""
    root = shop(project)
    with Model() as model:
        assert invoke("apply", "--yes", cwd=root, env={**model.env, "OPENAI_API_KEY": SECRET}).code == 0
        assert (model.probes, model.keys) == (1, {SECRET})
        assert all(json.loads(body)["model"] == "small" for _, _, _, body in model.seen)
    text = text_of(root)
    assert ("title: The Pull of the Moon\n" in text, "  model: small\n" in text) == (True, True)
    assert "Draft outline" not in text
    record = json.loads((root / "contentops.lock").read_text().splitlines()[1])
    assert (record["server"], record.get("outline")) == ("local", None)
    assert '"model":"small"' in (root / "contentops.jobs").read_text()
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0
    shown = invoke("report", "--provenance", cwd=root).stdout.split("\n")
    assert ("MODEL" in shown[0], " small " in shown[1]) == (True, True)


def test_another_engine_or_model_generates_nothing(project: Build, invoke: Run) -> None:
    """An outline stays until it is asked for, a text of another model too; a model's text is never a draft outline."""
    root = shop(
        project, "one", "two", settings=MODEL_PROJECT.replace("engine: openai, model: small", "engine: outline")
    )
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "contentops.yaml").write_text(MODEL_PROJECT)
    planned = invoke("plan", "--detailed-exitcode", cwd=root)
    assert (planned.code, "2 texts of the bundled server are draft outlines" in planned.stdout) == (0, True)
    assert "--replace one --replace two" in planned.stdout
    with Model() as model:
        assert invoke("apply", "--yes", "--replace", "one", cwd=root, env=model.env).code == 0
        calls = len(model.seen)
        (root / "contentops.yaml").write_text(MODEL_PROJECT.replace("small", "other"))
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, len(model.seen)) == (0, calls)
    assert "Draft outline" not in text_of(root)
    assert "1 text of the bundled server is a draft outline" in invoke("plan", cwd=root).stdout
    # Under another server the text of the model counts as any server's; the outline is generated again.
    (root / "contentops.yaml").write_text(MODEL_PROJECT.replace("base_url: local, engine: openai, model: small", ""))
    assert "the records belong to server `local`" in invoke("plan", cwd=root).stdout


def test_an_outline_answers_its_request_where_no_model_writes(project: Build, invoke: Run) -> None:
    """Its record and file are gone, and its job is not: nothing is generated again."""
    root = shop(project, settings=MODEL_PROJECT.replace("engine: openai, model: small", "engine: outline"))
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "contentops.lock").unlink()
    (root / "out" / "one.md").unlink()
    assert "a finished text for this request is paid for already" in invoke("plan", cwd=root).stdout


def test_a_wave_after_one_without_a_model_has_it(project: Build, invoke: Run) -> None:
    """The first wave writes a text that was paid for before, the second one asks the model."""
    checks = "checks: {excludes: {values: [harbour], level: block}}"
    items = [
        {"id": "a", "inputs": {"topic": "A", "target_audience": "all"}},
        {"id": "b", "inputs": {"topic": "{{ ref('a').title }}", "target_audience": "all"}},
    ]
    settings = MODEL_PROJECT.replace("style: general_blog", f"style: general_blog, {checks}")
    root = project({"contentops.yaml": settings, "content/a.yaml": json.dumps({"items": items})})
    with Model() as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 3
        assert "waiting: `a` has no text yet" in invoke("apply", "--yes", cwd=root, env=model.env).stdout
        (root / "contentops.yaml").write_text(settings.replace("level: block", "level: warn"))
        ended = invoke("apply", "--yes", "--deadline", "30s", cwd=root, env=model.env)
        assert ended.code == 0, ended.stdout + ended.stderr
    assert "harbour" in text_of(root, "b")


BAD = [
    ({}, MODEL_PROJECT, "`OPENAI_API_KEY` is not set; set it, or `OPENAI_BASE_URL` for a server of your own"),
    ({"OPENAI_BASE_URL": "ftp://x"}, MODEL_PROJECT, "`OPENAI_BASE_URL` is not a valid URL"),
    ({"OPENAI_BASE_URL": "http://192.0.2.1/v1", "OPENAI_API_KEY": SECRET}, MODEL_PROJECT, "plain http to `192.0.2.1` would send `OPENAI_API_KEY` unencrypted"),
    (
        {"OPENAI_BASE_URL": "https://evil.example/v1", "OPENAI_API_KEY": SECRET},
        MODEL_PROJECT,
        "the key must not be sent to `https://evil.example:443`, which is not on your trusted list",
    ),
    (
        {"OPENAI_API_KEY": SECRET, "CONTENTOPS_SERVERS": "https://api.writerzroom.com"},
        MODEL_PROJECT,
        "the key must not be sent to `https://api.openai.com:443`, which is not among the servers",
    ),
    (
        {"WRITERZROOM_API_KEY": SECRET, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
        MODEL_PROJECT.replace("small}", "small, model_key_env: WRITERZROOM_API_KEY}"),
        "`api.model_key_env` names `WRITERZROOM_API_KEY`, whose value must not be sent to a server",
    ),
    (
        {"CI_TOKEN": SECRET, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
        MODEL_PROJECT.replace("small}", "small, model_url_env: CI_TOKEN}"),
        "`api.model_url_env` names `CI_TOKEN`, whose value must not be sent to a server",
    ),
    ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, MODEL_PROJECT, "`http://127.0.0.1:1` cannot be reached"),
]  # fmt: skip


@pytest.mark.parametrize(("env", "settings", "message"), BAD, ids=range(len(BAD)))
def test_a_missing_setting_is_said(
    project: Build, invoke: Run, env: dict[str, str], settings: str, message: str
) -> None:
    """One sentence, no secret, nothing recorded; `doctor` says the same."""
    root = shop(project, settings=settings)
    found = invoke("apply", "--yes", cwd=root, env=env)
    assert found.code in {1, 4}
    assert message in found.stderr
    assert SECRET not in found.stdout + found.stderr
    assert not (root / "out").exists()
    assert invoke("status", cwd=root).stdout.count("failed") == 0
    checked = invoke("doctor", "--online", cwd=root, env=env)
    assert (checked.code, message in checked.stdout, SECRET in checked.stdout) == (1, True, False)


@pytest.mark.parametrize(("answer", "message"), [
    (refused(404, "model 'small' not found"), "answered 404: model 'small' not found (is the name `small` right"),
    (refused(401, f"bad key {SECRET}"), "it does not accept the key in `OPENAI_API_KEY`"),
])  # fmt: skip
def test_a_model_that_does_not_exist_fails_no_item(
    project: Build, invoke: Run, monkeypatch: pytest.MonkeyPatch, answer: Raw, message: str
) -> None:
    """The first short call finds it, so no submit is counted as failed."""
    monkeypatch.setattr("tests.models.is_probe", lambda _body: False)
    root = shop(project)
    with Model(lambda _body, _number: answer) as model:
        for _ in range(3):
            found = invoke("apply", "--yes", cwd=root, env=model.env)
            assert (found.code, message in found.stderr, SECRET in found.stderr) == (1, True, False)
        assert (len(model.seen), invoke("doctor", "--online", cwd=root, env=model.env).code) == (3, 1)
    with Model(writes) as model:
        monkeypatch.undo()
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0


def test_inputs_that_the_model_cannot_hold_are_an_error_of_the_plan(project: Build, invoke: Run) -> None:
    """With the numbers and the longest input, before anything is paid; the other items are written."""
    root = shop(project, "one", "two", extra="context: 20000, passes: one")
    blog_file = root / "content/blog.yaml"
    blog_file.write_text(blog_file.read_text().replace("'All about two'", f"'All about two {'long words ' * 4_000}'"))
    planned = invoke("plan", cwd=root).stdout
    shown = r"a prompt has up to 2\d,\d{3} tokens and its answer [\d,]+, and `api.context` is 20,000: .* `topic`"
    assert re.search(shown, " ".join(planned.split())), planned
    with Model(whole) as model:
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, len(model.prompts)) == (3, 1)
        (root / "contentops.yaml").write_text((root / "contentops.yaml").read_text().replace("20000", "64000"))
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
        assert "long words " * 3_999 in model.prompts[1]


def test_a_secret_in_the_address_of_a_model_reaches_no_file(project: Build, invoke: Run) -> None:
    """Scheme, host and port are all that records, events and reports get of an address."""
    root, hush = shop(project), "hush-0123-acme"
    with Model(lambda _body, _number: refused(400, f"no route /{hush}/v1")) as model:
        env = {"OPENAI_BASE_URL": model.base_url.replace("/v1", f"/{hush}/v1")}
        found = invoke("apply", "--yes", "--events", "events.ndjson", cwd=root, env=env)
        assert (found.code, "answered 400: no route /***" in found.stdout) == (3, True)
        shown = [invoke(*each, cwd=root, env=env).stdout for each in (["status"], ["report", "--runs"], ["plan"])]
    files = b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())
    assert b"no route /***" in files
    assert hush not in f"{found.stdout}{found.stderr}{shown}"
    assert hush.encode() not in files


@pytest.mark.parametrize("answer", [
    pytest.param(refused(401, "revoked"), id="key"),
    pytest.param(refused(402, "top up"), id="account"),
    pytest.param(refused(429, "insufficient_quota"), id="quota"),
    pytest.param(refused(404, "model gone"), id="model"),
    pytest.param(Raw(200, b'{"error": {"code": 402, "message": "top up"}}'), id="account-in-the-body"),
])  # fmt: skip
def test_a_model_that_stops_answering_pauses_the_run(project: Build, invoke: Run, answer: Raw) -> None:
    """No item fails, however often; answers are kept, the next apply asks what is missing, and all tokens count."""
    root = shop(project, "one", "two", "three")
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    left = 4

    def reply(body: Any, number: int) -> Raw:
        nonlocal left
        left -= 1
        given = writes(body, number)
        return said(json.loads(given.body)["choices"][0]["message"]["content"], usage=usage) if left >= 0 else answer

    with Model(reply) as model:
        for _ in range(3):
            found = invoke("apply", "--yes", cwd=root, env=model.env)
            assert (found.code, "stopped (model): " in found.stdout) == (5, True), found.stdout
            assert "failed" not in found.stdout
            assert "0 credits" not in found.stdout + found.stderr
        assert '"state":"failed"' not in (root / "contentops.jobs").read_text()
        left = 1000
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, 1000 - left) == (0, 3 * 6 - 4)
    jobs = [json.loads(line) for line in (root / "contentops.jobs").read_text().splitlines()[1:]]
    assert [one["tokens"] for one in jobs if one["state"] == "settled"] == [{"input": 600, "output": 60}] * 3


def test_doctor_asks_the_model_only_online(project: Build, invoke: Run) -> None:
    """Without the option it only looks at address and key."""
    root = shop(project)
    with Model() as model:
        plain = invoke("doctor", cwd=root, env=model.env)
        assert (plain.code, len(model.seen)) == (0, 0)
        assert "model: `small`: its address and key are set" in plain.stdout
        asked = invoke("doctor", "--online", cwd=root, env=model.env)
        assert (asked.code, model.probes, len(model.prompts)) == (0, 1, 0)
        assert "model: `small` answers" in asked.stdout


@pytest.mark.parametrize(("api", "message"), [
    ("{base_url: local, engine: openai}", "`engine: openai` needs the name of a model"),
    ("{engine: openai, model: small}", "`engine: openai` is for the bundled server, and `base_url` is another one"),
    ("{base_url: local, model: small}", "`model` has no effect without `engine: openai`"),
    ("{base_url: local, engine: openai, model: ''}", "`model` is an empty text"),
    ("{base_url: local, engine: gpt, model: small}", "`engine`"),
])  # fmt: skip
def test_settings_that_make_no_sense(project: Build, invoke: Run, api: str, message: str) -> None:
    """Each is found without any network."""
    root = shop(project, settings=MODEL_PROJECT.replace("{base_url: local, engine: openai, model: small}", api))
    found = invoke("validate", cwd=root)
    assert (found.code, message in found.stderr) == (1, True)


def test_an_environment_may_have_a_model_of_its_own(project: Build, invoke: Run) -> None:
    """The others outline; a text of the model is promoted as text, with its model."""
    settings = MODEL_PROJECT.replace("engine: openai, model: small", "engine: outline") + (
        "environments:\n"
        "  real: {api: {engine: openai, model: big}, output: 'real/{{ item.id }}.md'}\n"
        "  live: {promote_from: real, output: 'live/{{ item.id }}.md'}\n"
    )
    root = shop(project, settings=settings)
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert "Draft outline" in text_of(root)
    with Model() as model:
        assert invoke("apply", "--yes", "--env", "real", cwd=root, env=model.env).code == 0
    assert "model: big" in (root / "real/one.md").read_text()
    assert invoke("apply", "--yes", "--env", "live", cwd=root).code == 0
    assert "model: big" in (root / "live/one.md").read_text()
    (root / "real/one.md").unlink()
    assert (
        invoke("apply", "--yes", "--env", "real", cwd=root, env={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).code == 0
    )
    assert "model: big" in (root / "real/one.md").read_text()
    assert '"model":"big"' in (root / "contentops.real.jobs").read_text()


def test_two_commands_from_nothing_to_prose(invoke: Run, tmp_path: Path) -> None:
    """`init --model` says where the address goes, and `apply` writes every item with one call each."""
    bare = invoke("init", "--model", "llama3.2", "first")
    assert "Set `OPENAI_BASE_URL` to its address" in bare.stdout
    with Model(whole) as model:
        started = invoke("init", "blog", "--model", 'llama3.2: "x"', env=model.env)
        assert 'the model `llama3.2: "x"` writes its texts' in started.stdout
        assert "OPENAI_BASE_URL" not in started.stdout
        # Credits limit nothing here: a model costs none.
        settings = (tmp_path / "blog/contentops.yaml").read_text("utf-8")
        assert "budget 20 items\n" in invoke("-C", "blog", "plan").stdout
        (tmp_path / "blog/contentops.yaml").write_text(settings.replace("# price", "price").replace("# money", "money"))
        assert "budget 20 items and 1.00 USD\n" in invoke("-C", "blog", "plan").stdout
        assert (invoke("-C", "blog", "apply", "--yes", env=model.env).code, len(model.prompts)) == (0, 4)
    texts = list((tmp_path / "blog/out").rglob("*.md"))
    assert len(texts) == 4
    assert all("Draft outline" not in text.read_text() for text in texts)
    assert invoke("init", "--model", "x" * 201, "third").code == 4


def test_a_section_is_found_by_the_heading_of_the_model(project: Build, invoke: Run) -> None:
    """Generated again and checked by that heading; the rest of the file stays."""
    checks = "mode: quick, checks: {headings: [What the moon does]}}"
    root = shop(project, settings=MODEL_PROJECT.replace("mode: quick}", checks), extra="passes: one")

    def again(body: Any, number: int) -> Raw:
        if "Write the section" in body["messages"][1]["content"]:
            return said("The moon pulls the water, and the water follows it around the world twice a day.")
        return whole(body, number)

    with Model(again) as model:
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
        calls = len(model.prompts)
        found = invoke("regenerate", "one", "--section", "what the moon does", "--yes", cwd=root, env=model.env)
        assert found.code == 0, found.stderr
        assert len(model.prompts) == calls + 1
    text = text_of(root)
    assert ("## What the moon does\n\nThe moon pulls the water" in text, "harbour" in text) == (True, False)


def test_a_killed_apply_asks_nothing_twice(project: Build, invoke: Run, processes: None) -> None:
    """Killed while the model works on the fourth prompt: only that one is sent again, and the text is complete."""
    root = shop(project)

    def stuck(body: Any, number: int) -> Raw | None:
        return None if number == 3 else writes(body, number)

    with Model(stuck) as model:
        with started(root, "apply", "--yes", env=model.env) as apply:
            for _ in range(5):
                model.wait("POST")
            apply.kill()
        before = list(model.prompts)
    assert len(before) == 4
    # A command that is no apply leaves the job alone.
    with Model(lambda body, number: writes(body, number + 10)) as model:
        for command in (["status"], ["plan"], ["content", "list"], ["doctor"]):
            assert invoke(*command, cwd=root, env=model.env).code == 0
        assert ([*model.seen], invoke("apply", "--yes", cwd=root, env=model.env).code) == ([], 0)
        again = list(model.prompts)
        assert again[0] == before[3]
        assert not set(again) & set(before[:3])
        assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0
    assert (len(before) + len(again), text_of(root).count("Paragraph")) == (1 + 5 + 1, 5)


@pytest.mark.parametrize("passes", ["one", "staged"])
def test_killed_often_it_makes_each_text_once(project: Build, invoke: Run, passes: str, processes: None) -> None:
    """While the model works: one job and one content per item, and only those prompts are sent again."""
    items = [f"item-{number}" for number in range(6)]
    root = shop(project, *items, extra=f"passes: {passes}")
    chance, left, working = random.Random(passes), 0, threading.Event()

    def reply(body: Any, number: int) -> Raw | None:
        nonlocal left
        left -= 1
        if left < 0:
            working.set()
            return None
        return (whole if passes == "one" else writes)(body, number)

    with Model(reply) as model:
        for _ in range(4):
            left = chance.randint(0, 1 if passes == "one" else 5)
            working.clear()
            with started(root, "apply", "--yes", env=model.env) as apply:
                assert working.wait(PATIENCE)
                assert apply.runs_for(chance.choice([0.001, 0.02, 0.05]))
                apply.kill()
        left = 1000
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
        calls = len(model.prompts)
        assert (invoke("apply", "--yes", cwd=root, env=model.env).code, len(model.prompts)) == (0, calls)
    assert calls <= len(items) * (1 if passes == "one" else 6) + 4 * 4
    assert sorted(path.stem for path in (root / "out").glob("*.md")) == items
    with contextlib.closing(sqlite3.connect(root / ".contentops/local.db")) as store:
        numbers = [store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("jobs", "contents")]
    assert numbers == [len(items)] * 2
