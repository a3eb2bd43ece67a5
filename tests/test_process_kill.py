"""Real kills of real processes, apply and server alike: the same files and charges as if nothing had happened."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import KEY, PROJECT, Served, applying, blog, killed, tree
from tests.running import Build, Run

ITEMS = ("one", "two", "three", "four", "five", "six")
ENV = {"WRITERZROOM_API_KEY": KEY}
KILLS = 3
MOMENTS = (0.001, 0.01, 0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db", stage_seconds=0.03) as served:
        yield served


def _project(build: Build, base_url: str, name: str, manifest: str = "") -> Path:
    manifest = manifest or blog(*ITEMS, topic=f"All about {{}} ({name})")
    files = {"contentops.yaml": PROJECT.format(base_url=base_url, extra=""), "content/blog.yaml": manifest}
    return build(files, at=f"{name}-local" if base_url == "local" else name)


def _undisturbed(build: Build, invoke: Run, name: str, manifest: str = "") -> dict[str, str]:
    """The tree of a run that no one killed, made by the server inside the process: the texts are the same."""
    root = _project(build, "local", name, manifest)
    assert invoke("apply", "--yes", cwd=root).code == 0
    return tree(root)


def _expected(name: str) -> list[str]:
    return sorted(f"All about {item} ({name})" for item in ITEMS)


def _finish(invoke: Run, root: Path) -> None:
    """Applies until it is done: twice at most for each text of the longest chain, as a job may be looked for twice."""
    ended = invoke("apply", "--yes", cwd=root, env=ENV)
    for _ in range(5):
        assert "Traceback" not in ended.stderr
        if ended.code == 3:
            ended = invoke("apply", "--yes", cwd=root, env=ENV)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0


def _kill_again_and_again(root: Path, name: str, *, clean: bool = False) -> int:
    """Kill applies at random moments, until one ends; returns how many. `clean`: `.contentops` goes each time.

    The first dies after a submit was accepted. Before that, a submit that never arrived is unknown for ever: nothing
    proves yet that this server knows our ids.
    """
    chance = random.Random(name)
    for number in range(KILLS):
        words = () if number else ('"poll"',)
        # Events come in bursts: a moment later is a different moment.
        if not killed(root, *words, count=chance.randint(1, 14 if number else 2), moment=chance.choice(MOMENTS)):
            return number
        if clean:
            shutil.rmtree(root / ".contentops")
    return KILLS


@pytest.mark.parametrize("clean", [False, True], ids=["", "without .contentops"])
def test_killed_again_and_again(project: Build, invoke: Run, server: Served, *, clean: bool) -> None:
    """Killed at random moments, and also robbed of `.contentops` each time: one charge and one content per item."""
    name = "robbed" if clean else "killed"
    expected = _undisturbed(project, invoke, name)
    root = _project(project, server.base_url, name)
    assert _kill_again_and_again(root, name, clean=clean) > 2
    _finish(invoke, root)
    assert (tree(root), server.charges(f"({name})")) == (expected, _expected(name))
    assert server.contents(f"({name})") == _expected(name)


def test_killed_between_and_inside_waves(project: Build, invoke: Run, server: Served) -> None:
    """Texts made from others: one charge and one content for each, and the tree of a run that no one killed."""
    name = "waves"
    source = "{{{{ ref('{}').title }}}} {{{{ ref('{}').excerpt(80) }}}}"
    topics = {"guide": "Guide", "news": source.format(*["guide"] * 2), "de": source.format(*["guide"] * 2)}
    topics |= {"teaser": source.format(*["news"] * 2)}
    manifest = "items:\n" + "".join(
        f'  - {{id: {one}, inputs: {{topic: "{one} ({name}) {topic}", target_audience: readers}}}}\n'
        for one, topic in topics.items()
    )
    expected = _undisturbed(project, invoke, name, manifest)
    root = _project(project, server.base_url, name, manifest)
    assert _kill_again_and_again(root, name) > 1
    _finish(invoke, root)
    assert tree(root) == expected
    charges = server.charges(f"({name})")
    assert [each.partition(" ")[0] for each in charges] == sorted(topics)
    assert not any("⟨" in each for each in charges)
    # Titles are cut.
    assert [each.partition(" ")[0] for each in server.contents(f"({name})")] == sorted(topics)


@pytest.mark.parametrize("both", [False, True], ids=["server", "both"])
def test_the_server_dies_in_the_middle(project: Build, invoke: Run, tmp_path: Path, *, both: bool) -> None:
    """Alone, or with the apply as when the machine loses power: each goes on from what is on disk, on the same port."""
    name = "both" if both else "server"
    expected = _undisturbed(project, invoke, name)
    with Served(tmp_path / "store.db", stage_seconds=0.03) as server:
        root = _project(project, server.base_url, name)
        for moment in (6, 10) if both else ():
            assert killed(root, count=moment)
            server.kill()
            server.start()
        if not both:
            with applying(root) as apply:
                for moment, away in ((3, 0.3), (9, 0.01)):
                    apply.next(moment)
                    server.kill()
                    apply.runs_for(away)
                    server.start()
                ended = apply.end()
            assert ended.code in {0, 3}, ended.stderr
            assert "Traceback" not in ended.stderr
        _finish(invoke, root)
        assert (tree(root), server.charges()) == (expected, _expected(name))
        assert server.contents() == _expected(name)
