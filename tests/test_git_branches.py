"""Results that a branch does not take: a branch of their own, a pull request, and the next apply that has to wait."""

import base64
import json
import os
import re
from collections.abc import Mapping

import pytest

from contentops.atomic_io import Disk
from contentops.ci.push import Target
from contentops.ci.runner import git_credentials
from contentops.digest import Digest
from contentops.errors import ContentopsError
from contentops.model import Approval, ItemId, Verdict, text_digest
from contentops.operations.commit import CommitOptions, commit
from contentops.operations.opening import Runtime, open_project
from contentops.state import approvals
from tests.clones import PROJECT, PROTECTED, WHO, Machine, World, manifest, posix
from tests.fakes.github import TOKEN, FakeGitHub
from tests.running import Run

pytestmark = posix
BOT = "github-actions[bot]"


def own_branches(world: World) -> list[str]:
    """The branches of the remote that hold results."""
    return [name for name in world.branches() if name.startswith("contentops-results/")]


def test_a_protected_branch(world: World, first: Machine) -> None:
    """The results go to a branch, whose checks may run; the message says what to do; the clone stays as it was."""
    world.hook("pre-receive", PROTECTED)
    tip = world.tip()
    env = {"GITHUB_RUN_ID": "77", "GITHUB_REPOSITORY": "acme/blog", "GITHUB_SERVER_URL": "https://github.example"}
    ended = first.commit(runner=env)
    (name,) = own_branches(world)
    assert re.fullmatch("contentops-results/acme-blog/77-1-[0-9a-f]{12}", name)
    assert "Not on `main`: `main` rejects pushes: pre-receive hook declined." in ended.stdout
    assert f"`gh pr create --base main --head {name} --fill`" in ended.stdout
    assert (world.tip(), first.git("rev-parse", "HEAD").strip()) == (tip, tip)
    first.git("fetch", "--quiet", "origin", name)
    message = first.git("log", "-1", "--format=%B", "FETCH_HEAD")
    assert "[skip ci]" not in message
    assert "Run: https://github.example/acme/blog/actions/runs/77" in message
    # Another run on the same clone finds them; new results have a branch of their own.
    assert f"Pushed to `{name}`." in first.commit(GITHUB_RUN_ID="78").stdout
    assert own_branches(world) == [name]
    first.edit("content/blog.yaml", "topic: one", "topic: one, again")
    first.apply()
    first.commit(GITHUB_RUN_ID="77")
    assert len(own_branches(world)) == 2


def test_a_branch_of_results_that_was_merged(world: World, first: Machine) -> None:
    """Once they are on the branch, the clone that made them comes along."""
    world.hook("pre-receive", PROTECTED)
    first.commit()
    (world.remote / "hooks/pre-receive").unlink()
    second = world.other("README.md", "hello")
    second.git("pull", "--quiet", "--no-rebase", "--no-edit", "origin", own_branches(world)[0])
    second.git("push", "--quiet")
    assert "`main` has these results already" in first.commit().stdout
    assert (first.git("status", "--porcelain"), first.git("rev-parse", "HEAD").strip()) == ("", world.tip())


def test_results_that_wait_stop_the_next_apply(world: World, first: Machine, invoke: Run) -> None:
    """Of this project and environment, until the branch is gone; branches of others and of people stop no one."""
    for name in ("try-it", "5-1", "other/5-1-0123456789ab", "acme-blog/mine"):
        first.git("push", "--quiet", "origin", f"main:refs/heads/contentops-results/{name}")
    assert first.waits() == ""
    world.hook("pre-receive", PROTECTED)
    first.apply("--env", "staging")
    waits = first.commit("--env", "staging", "--json", GITHUB_RUN_ID="9").json["branch"]
    second = world.clone("second")
    assert f"results-waiting: unmerged results of an earlier run are on `{waits}`" in second.waits("staging")
    assert second.waits() == ""
    second.write("site/contentops.yaml", PROJECT.replace("acme-blog", "site"))
    second.write("site/content/blog.yaml", manifest("inner"))
    inner = Machine(second.root / "site", invoke)
    inner.apply()
    assert inner.commit("--json", GITHUB_RUN_ID="9").json["branch"].startswith("contentops-results/site/9-1-")
    assert second.waits() == ""


def test_a_remote_that_takes_nothing(world: World, first: Machine) -> None:
    """The results stay in the folder, and the message says so."""
    world.hook("pre-receive", "exit 1")
    head = first.git("rev-parse", "HEAD")
    ended = first.commit(code=1)
    assert "error[not-published]" in ended.stderr
    assert "the results are still in this folder" in ended.stderr
    assert (first.git("rev-parse", "HEAD"), world.branches()) == (head, ["main"])


@pytest.mark.parametrize(("project", "environment", "expected"), [
    ("acme-blog", "", r"contentops-results/acme-blog/1-1-0123456789ab"),
    ("acme-blog", "eu.west", r"contentops-results/acme-blog/eu-west-[0-9a-f]{8}/1-1-0123456789ab"),
    ("a & b", "", r"contentops-results/a-b-[0-9a-f]{8}/1-1-0123456789ab"),
    ("日本", "", r"contentops-results/[0-9a-f]{8}/1-1-0123456789ab"),
    ("x" * 100, "", r"contentops-results/x{60}-[0-9a-f]{8}/1-1-0123456789ab"),
])  # fmt: skip
def test_names_of_branches(project: str, environment: str, expected: str) -> None:
    """Project and environment are parts that git takes, and no two share one."""
    target = Target(branch="main", project=project, environment=environment, run="1-1")
    name = target.own("0123456789abcdef")
    assert re.fullmatch(expected, name)
    assert target.is_own(name)
    others = [(project + "!", environment), (project, environment + "x"), ("a-b", ""), ("eu", "west")]
    assert not any(Target(branch="main", project=one, environment=two).is_own(name) for one, two in others)


def test_a_pull_request_is_opened_for_a_protected_branch(world: World, first: Machine) -> None:
    """With a token, the results wait in a pull request that says why."""
    world.hook("pre-receive", PROTECTED)
    with FakeGitHub() as hub:
        ended = first.commit(runner=hub.env(GITHUB_RUN_ID="77"))
        (pull,) = hub.pulls
    assert f"Pull request: {pull['html_url']}" in ended.stdout
    assert (pull["head"]["label"], pull["base"]["ref"]) == (f"acme:{own_branches(world)[0]}", "main")
    assert (pull["title"], "Merge it before the next apply" in pull["body"]) == ("content: 3 created", True)


PROXY = "check `HTTPS_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"


@pytest.mark.parametrize(("env", "said"), [
    ({}, "warning[github]: no pull request was made"), ({"SSL_CERT_FILE": "nowhere://x"}, PROXY),
    ({"HTTPS_PROXY": "nowhere://x"}, PROXY),
], ids=["not allowed", "no certificates", "no proxy"])  # fmt: skip
def test_without_a_pull_request_a_person_is_told(world: World, first: Machine, env: dict[str, str], said: str) -> None:
    """It is not permitted, or there is no way to GitHub: the results are on the branch all the same."""
    world.hook("pre-receive", PROTECTED)
    with FakeGitHub() as hub:
        hub.faults.append(("POST", lambda: (403, {"message": f"may not create pull requests {TOKEN}"}, {})))
        ended = first.commit(runner=hub.env(GITHUB_RUN_ID="77", **env))
    assert said in " ".join(ended.stderr.split())
    assert f"`gh pr create --base main --head {own_branches(world)[0]} --fill`" in ended.stdout
    assert TOKEN not in ended.stderr + ended.stdout


@pytest.mark.parametrize(("given", "author", "committer"), [
    ({}, BOT, BOT), ({"GIT_AUTHOR_NAME": "Ann"}, "Ann", BOT), (WHO, WHO["GIT_AUTHOR_NAME"], WHO["GIT_COMMITTER_NAME"]),
], ids=["no one", "half an identity", "whoever git says"])  # fmt: skip
def test_a_runner_without_an_identity_commits_as_the_bot(
    first: Machine, given: dict[str, str], author: str, committer: str
) -> None:
    """GitHub's own bot, only there, and only where no one is set."""
    ended = first._invoke("commit", "--no-push", cwd=first.root, env={"GITHUB_ACTIONS": "true", **given})
    assert ended.code == 0, ended.stderr
    assert first.git("log", "-1", "--format=%an, %cn").strip() == f"{author}, {committer}"


@pytest.mark.parametrize(("address", "server", "given"), [
    ("https://github.com/acme/blog", "https://github.com", True),
    ("https://github.com.evil.example/acme/blog", "https://github.com", False),
    ("https://elsewhere.example/acme/blog", "https://github.com", False),
    ("git@github.com:acme/blog", "https://github.com", False),
    ("http://github.com/acme/blog", "http://github.com", False),
    ("http://127.0.0.1:1/acme/blog", "http://127.0.0.1:1", True),
], ids=["ours", "looks like ours", "elsewhere", "ssh", "unencrypted", "loopback"])  # fmt: skip
def test_the_token_goes_to_its_server_alone(address: str, server: str, *, given: bool) -> None:
    """As settings of the child process, for one address; redirects are not followed."""
    found = git_credentials(address, {"GITHUB_TOKEN": "t0ken", "GITHUB_SERVER_URL": server, "GIT_CONFIG_COUNT": "1"})
    assert bool(found) is given
    if given:
        assert (found["GIT_CONFIG_COUNT"], found["GIT_CONFIG_KEY_3"]) == ("4", f"http.{server}/.followRedirects")
        assert "t0ken" not in json.dumps(found)


def test_git_over_http_gets_the_token(first: Machine) -> None:
    """The child process authorises itself to the server of the workflow, and the token is in no file of the clone."""
    with FakeGitHub() as server:
        first.git("remote", "set-url", "origin", f"{server.api}/acme/blog")
        outside = Runtime(environ={**os.environ, **WHO, **server.env(GITHUB_SERVER_URL=server.api)})
        project = open_project(str(first.root), "", ())
        with pytest.raises(ContentopsError) as failed:
            commit(project, CommitOptions(direct=True), runtime=outside, pause=lambda _seconds: None)
        assert server.tokens == {"basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()}
    assert (failed.value.code, TOKEN in failed.value.message) == ("not-published", False)
    files = [path for path in (first.root / ".git").rglob("*") if path.is_file()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


def propose(machine: Machine, hub: FakeGitHub | None = None) -> Mapping[str, object]:
    """`commit`, and what it says of itself."""
    found: Mapping[str, object] = machine.propose("--json", runner=hub.env() if hub else None).json
    return found


def merge(world: World, name: str, how: str) -> None:
    """What the button on the page of the pull request does; the branch stays."""
    person = world.clone(f"merging-{how}")
    person.git("fetch", "--quiet", "origin", name)
    person.git("merge", "--quiet", how, "FETCH_HEAD", *(["--no-edit"] if how == "--no-ff" else []))
    if how == "--squash":
        person.git("commit", "--quiet", "--message=Results")
    person.git("push", "--quiet")


def add(machine: Machine, *items: str) -> None:
    """A person declares more items here, and applies."""
    machine.write("content/more.yaml", manifest(*items))
    machine.apply()


def test_new_texts_come_by_pull_request(world: World, first: Machine) -> None:
    """It names them; the branch stays as it was, and the next apply waits for the merge. Twice is once."""
    tip = world.tip()
    with FakeGitHub() as hub:
        ended = first.propose(runner=hub.env(GITHUB_RUN_ID="77"))
        again = first.propose(runner=hub.env(GITHUB_RUN_ID="78"))
        (pull,) = hub.pulls
    (name,) = set(world.branches()) - {"main"}
    assert "Not on `main`: new texts are read before they are merged.\nPushed to `contentops-results/" in ended.stdout
    assert f"Pull request: {pull['html_url']}" in ended.stdout
    assert f"Pushed to `{name}`." in again.stdout
    assert (world.tip(), pull["head"]["label"], pull["base"]["ref"]) == (tip, f"acme:{name}", "main")
    assert "An apply has written 3 new texts." in pull["body"]
    assert "\n- `out/one.md`\n- `out/three.md`\n- `out/two.md`\n" in pull["body"]
    assert "[skip ci]" not in first.git("log", "-1", "--format=%B", world.tip(name))
    assert f"are on `{name}`" in world.clone("second").waits()


@pytest.mark.parametrize("how", ["--no-ff", "--squash"])
def test_after_a_merge_the_next_texts_have_a_pull_request_of_their_own(world: World, first: Machine, how: str) -> None:
    """Also where no one has deleted the branch of the one before."""
    with FakeGitHub() as hub:
        name = propose(first, hub)["branch"]
        assert isinstance(name, str)
        merge(world, name, how)
        hub.pulls.clear()
        runner = world.clone("runner")
        add(runner, "four")
        found = propose(runner, hub)
        (pull,) = hub.pulls
    assert (found["branch"] != name, found["texts"]) == (True, ["out/four.md"])
    assert pull["head"]["label"] == f"acme:{found['branch']}"
    assert world.tip(name) != world.tip(str(found["branch"]))


def test_more_texts_have_a_branch_of_their_own(world: World, first: Machine) -> None:
    """It has the earlier ones too, and the branch that a person edits meanwhile stays theirs."""
    with FakeGitHub() as hub:
        name = str(propose(first, hub)["branch"])
        person = world.clone("person")
        person.git("checkout", "--quiet", name)
        person.edit("out/one.md", "## Introduction", "## A person's heading")
        person.git("commit", "--quiet", "--all", "--message=Better")
        person.git("push", "--quiet")
        tip = world.tip(name)
        add(first, "four")
        later = str(propose(first, hub)["branch"])
        assert len(hub.pulls) == 2
    assert (later != name, world.tip(name)) == (True, tip)
    assert {"out/four.md", *["out/one.md", "out/three.md", "out/two.md"]} <= set(world.paths(later))


def test_what_is_no_new_text_goes_to_the_branch(world: World, first: Machine) -> None:
    """A file that moved: no one has to read it again."""
    first.commit()
    first.edit("content/blog.yaml", "id: two\n", "id: two\n    output: out/zwei.md\n")
    first.apply()
    assert "Pushed to `main`." in first.propose().stdout
    assert "out/zwei.md" in world.paths()


def test_the_branch_itself_needs_a_push(invoke: Run) -> None:
    """Two options that exclude each other."""
    assert invoke("commit", "--direct", "--no-push").code == 64


FILE = "contentops.approvals"
LOCKS = "contentops*.lock text eol=lf merge=union\n"
RULES = f"{LOCKS}contentops*.jobs text eol=lf merge=union\n{FILE} text eol=lf merge=union\n"


def line(item: str, who: str = "Maria", *, minute: int = 0, sent_back: bool = False) -> Approval:
    """A verdict on one text of an item."""
    verdict = Verdict.SENT_BACK if sent_back else Verdict.APPROVED
    text: Digest = text_digest(item, text_digest("", item))
    by = f"{who} <{who.lower()}@example.com>"
    return Approval(item=ItemId(item), text=text, verdict=verdict, by=by, at=f"2026-03-01T11:{minute:02}:00Z")


def say(machine: Machine, *lines: Approval) -> None:
    """Record verdicts in a clone."""
    approvals.record(machine.root, Disk(), lines)


def said(text: str) -> list[tuple[str, str]]:
    """Item and person of each verdict in a file."""
    return [(one.item, one.by.partition(" ")[0]) for one in approvals.parse(text.encode()).lines]


@pytest.fixture
def done(first: Machine) -> Machine:
    """A machine that has applied, committed and pushed."""
    first.commit()
    return first


def test_verdicts_are_results(world: World, first: Machine) -> None:
    """They come with the results, with their rule for merges, and the message counts them; afterwards nothing is left."""
    say(first, line("one"), line("two", sent_back=True))
    first.commit()
    assert (first.files("HEAD~1"), FILE in first.files()) == ([".gitattributes", "contentops.jobs"], True)
    assert first.git("log", "-1", "--format=%s") == "content: 3 created, 1 approved, 1 sent back\n"
    assert world.content(".gitattributes") == RULES
    say(first, line("three"))
    first.commit()
    assert (first.files(), world.subjects()[0]) == ([FILE], "content: 1 approved")
    assert said(world.content(FILE)) == [("one", "Maria"), ("three", "Maria"), ("two", "Maria")]
    assert first.commit().stdout.startswith("Nothing to commit")
    assert first.git("status", "--porcelain") == ""


def test_verdicts_of_two_machines_meet(world: World, done: Machine) -> None:
    """Both are kept, also where both are the first ones; the rule is there once."""
    second = world.clone("second")
    say(done, line("one"), line("two"))
    say(second, line("one", "Jo"), line("two", minute=5, sent_back=True))
    second.commit()
    done.commit()
    for text in (world.content(FILE), (done.root / FILE).read_text("utf-8")):
        found = approvals.parse(text.encode())
        assert set(said(text)) == {("one", "Jo"), ("one", "Maria"), ("two", "Maria")}
        assert found.of_text(line("two").text)[0].verdict is Verdict.SENT_BACK
    assert (world.content(".gitattributes"), world.branches()) == (RULES, ["main"])


@pytest.mark.parametrize("how", ["damaged", "removed", "link"])
def test_a_file_that_a_person_broke_is_left_alone(world: World, done: Machine, how: str) -> None:
    """It is named, stays as it is, and holds up no result."""
    say(done, line("one"))
    done.commit()
    path = done.root / FILE
    before = path.read_bytes()
    path.unlink()
    if how == "damaged":
        path.write_bytes(before + b"<<<<<<< mine\n")
    elif how == "link":
        path.symlink_to("notes.md")
    (done.root / "out/three.md").unlink()
    found = done.commit("--json", "--edits").json
    assert (found["edited"], found["files"]) == ([FILE], ["out/three.md"])
    assert world.content(FILE).encode() == before
    assert path.is_symlink() is (how == "link")
    assert how != "damaged" or path.read_bytes().endswith(b"mine\n")


def test_git_ignores_the_file(done: Machine) -> None:
    """Then it is named, as it would be lost with the runner."""
    done.write(".gitignore", "*.approvals\n")
    say(done, line("one"))
    assert done.commit("--json").json["ignored"] == [FILE]


@posix
def test_verdicts_that_wait_on_a_branch_hold_up_no_apply(world: World, done: Machine) -> None:
    """The branch is protected: they come as a pull request, and nothing would be paid for again without them."""
    world.hook("pre-receive", PROTECTED)
    say(done, line("one"))
    done.commit()
    (branch,) = (name for name in world.branches() if name != "main")
    assert (said(world.content(FILE, branch)), world.clone("second").waits()) == ([("one", "Maria")], "")


def test_a_branch_that_has_a_damaged_file(world: World, done: Machine) -> None:
    """Nothing of it is overwritten: the verdicts go to a branch of their own."""
    say(done, line("one"))
    done.commit()
    world.other(FILE, world.content(FILE) + "<<<<<<< mine\n")
    say(done, line("two"))
    done.commit()
    (branch,) = (name for name in world.branches() if name != "main")
    assert said(world.content(FILE, branch)) == [("one", "Maria"), ("two", "Maria")]
