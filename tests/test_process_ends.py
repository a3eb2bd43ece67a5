"""How real processes end: locks, signals, deadlines, and every exit code."""

import getpass
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.fakes.harness import know_server
from tests.processes import KEY, PROJECT, Scripted, Served, applying, blog
from tests.running import Build, Run

ENV = {"WRITERZROOM_API_KEY": KEY}
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose jobs take longer than any test waits."""
    with Served(tmp_path_factory.mktemp("slow") / "store.db", stage_seconds=60) as served:
        yield served


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that is done at once."""
    with Served(tmp_path_factory.mktemp("quick") / "store.db") as served:
        yield served


def _files(server: Served, name: str, *, extra: str = "") -> dict[str, str]:
    settings = PROJECT.format(base_url=server.base_url, extra=extra).replace("acme-blog", name)
    return {"contentops.yaml": settings, "content/blog.yaml": blog("one", "two", topic=f"{{}} ({name})")}


def test_a_second_apply_is_refused_until_the_first_is_gone(project: Build, invoke: Run, slow: Served) -> None:
    """It exits 4 and names who holds the lock; a killed holder leaves nothing to unlock."""
    root = project(_files(slow, "locked"))
    with applying(root) as first:
        first.until("step-done", "submit")
        second = invoke("apply", "--yes", cwd=root, env=ENV)
        assert (second.code, second.stdout) == (4, "")
        assert "error[lock-held]: another `contentops` command is running here by " in second.stderr
        assert f"{getpass.getuser()}@" in second.stderr
        assert f"process {first.process}" in second.stderr
        assert "since 20" in second.stderr
        assert "hint: wait for it to end" in second.stderr
        assert invoke("plan", cwd=root).code == 0, "a plan needs no lock"
        first.kill()
    with applying(root) as third:
        third.until("step-started", "poll")
    assert len(slow.jobs("(locked)")) == 1


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_stops_gently(project: Build, invoke: Run, slow: Served, number: signal.Signals) -> None:
    """Exit code 130 soon after; the job is in the committed list, and the next command is named."""
    name = number.name
    root = project(_files(slow, name))
    with applying(root) as apply:
        apply.until("step-started", "poll")
        apply.signal(number)
        ended = apply.end()
    assert ended.code == 130
    assert "progress is kept" in ended.stderr
    assert "contentops apply" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert '"state":"running"' in (root / "contentops.jobs").read_text()
    shutil.rmtree(root / ".contentops")
    planned = invoke("plan", "--json", cwd=root).json
    assert {one["id"]: one["action"] for one in planned["changes"]} == {"one": "finish", "two": "create"}
    assert slow.jobs(f"({name})") == [f"one ({name})"]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_second_signal_exits_at_once(project: Build, invoke: Run, number: signal.Signals) -> None:
    """A stop that waits for an answer is not waited for; what was known is kept all the same."""
    with Scripted(lambda method, _path, _body: None if method == "POST" else (404, {}, b"{}")) as server:
        root = project(
            {"contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""), "content/blog.yaml": blog("one")}
        )
        know_server(root, server.base_url)
        with applying(root) as apply:
            server.wait("POST")
            apply.signal(number)
            apply.says("stopping")
            apply.signal(number)
            ended = apply.end()
    assert ended.code == 130
    assert "exit at once" in ended.stderr
    assert "continues what is running" in ended.stderr
    planned = invoke("plan", "--json", cwd=root).json
    assert [one["action"] for one in planned["changes"]] == ["resolve"]


def test_a_deadline_pauses(project: Build, invoke: Run, slow: Served) -> None:
    """Exit code 5 after the deadline; what runs is kept, and the next command is named."""
    root = project(_files(slow, "deadline"))
    for seconds in ("0.01s", "0.2s", "1s", "30s"):
        ended = invoke("apply", "--yes", "--deadline", seconds, cwd=root, env=ENV)
        assert ended.code == 5
        assert "the deadline was reached" in ended.stdout
        assert "contentops apply" in ended.stdout
        if slow.jobs("(deadline)"):
            break
    planned = invoke("plan", "--json", cwd=root).json
    assert {one["id"]: one["action"] for one in planned["changes"]} == {"one": "finish", "two": "create"}
    assert len(slow.jobs("(deadline)")) == 1


@pytest.mark.parametrize(("code", "commands", "files", "extra"), [
    pytest.param(0, ["apply --yes", "apply --yes"], {}, "", id="0 nothing to do"),
    pytest.param(1, ["apply --yes"], {"content/blog.yaml": "items: [{id: one, topic: x}]"}, "", id="1 invalid manifests"),
    pytest.param(2, ["plan --detailed-exitcode"], {}, "", id="2 the plan has changes"),
    pytest.param(3, ["apply --yes"], {"out/one.md": "someone's own words\n"}, "", id="3 an item is blocked"),
    pytest.param(
        3, ["apply --yes"], {"content/blog.yaml": "items: [{id: one, inputs: {topic: no audience}}]"}, "",
        id="3 an item failed",
    ),
    pytest.param(4, ["apply --yes"], {}, "budget: {credits_per_apply: 7}", id="4 over budget"),
    pytest.param(4, ["apply"], {}, "", id="4 no one to ask"),
    pytest.param(64, ["apply --yess"], {}, "", id="64 usage"),
])  # fmt: skip
def test_exit_codes(
    project: Build,
    run: Run,
    invoke: Run,
    quick: Served,
    code: int,
    commands: list[str],
    files: dict[str, str],
    extra: str,
) -> None:
    """Each code, as a script meets it; 5 and 130 are above. Whatever the code, no traceback."""
    root = project(_files(quick, f"code-{code}", extra=extra) | files)
    *before, last = (command.split() for command in commands)
    for arguments in before:
        assert invoke(*arguments, cwd=root, env=ENV).code == 0
    # Some of them by a process of its own, whose code is what `main` returns.
    ended = (run if code == 3 else invoke)(*last, cwd=root, env=ENV)
    assert ended.code == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert code in {0, 2} or ended.stderr or "hint" in ended.stdout, "it says why"
