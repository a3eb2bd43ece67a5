"""Texts that were paid for once are there again for nothing: by a manifest that is put back, and by hand."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.digest import digest_text
from contentops.documents.front_matter import split
from contentops.errors import LockHeld, OutputError, Refused, StateError, UsageError
from contentops.model import OnEdit
from contentops.model.run import PaidText
from contentops.operations import texts as restoring
from contentops.operations.spend import texts_of
from contentops.operations.state import move_record
from contentops.operations.workspace import hold_lock
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.repositories import cloned, in_git
from tests.running import Run

OUT = "out/a.md"


def paid_texts(harness: Harness) -> tuple[PaidText, ...]:
    """The texts that were paid for `a`, the newest first."""
    return texts_of(harness.project, harness.state, "a")


def rewrite(harness: Harness, year: int, **choice: object) -> None:
    """Puts another year into the manifest of `a`, and applies."""
    harness.write("content/blog.yaml", blog("a", year=year))
    harness.apply(**choice)  # type: ignore[arg-type]


def test_a_text_whose_content_is_gone_is_saved_again(tmp_path: Path) -> None:
    """The content that came with the text may have been tidied away, or hold another text since."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    rewrite(harness, 2026)
    first, text = harness.record("a").content_id, split(harness.read(OUT)).body
    rewrite(harness, 2027)
    harness.api.contents.pop(first, None)
    rewrite(harness, 2026)
    assert (harness.api.contents[harness.record("a").content_id].body, harness.plan().empty) == (text, True)
    # Someone wrote into the content of the text that is wanted again: their words stay.
    rewrite(harness, 2027)
    there = harness.api.contents[harness.record("a").content_id]
    rewrite(harness, 2028)
    there.body = "Written there.\n"
    run = harness.apply()
    rewrite(harness, 2027)
    assert there.body == "Written there.\n"
    assert run is None


def _write(harness: Harness, item: str, year: int, moved: str = "") -> None:
    harness.write("content/blog.yaml", moved + blog(item, year=year).replace(f"about {item}", "about it"))


def _renamed(root: Path, how: str, request_ids: str) -> Harness:
    """An item that was `a` when its first two texts were paid for, and has had two more ids since."""
    harness = Harness(root, FakeApi(duration=30, request_ids=request_ids))
    for year in (2026, 2027):
        _write(harness, "a", year)
        harness.apply()
        in_git(harness, str(year))
    for old, new in ("ab", "bc"):
        if how == "state mv":
            move_record(harness.project, old, new)
        _write(harness, new, 2027, f"moved: [{{from: {old}, to: {new}}}]\n" if how == "moved" else "")
        harness.apply()
        in_git(harness, new)
    assert (harness.plan().empty, len(harness.api.generations)) == (True, 2)
    return harness


@pytest.mark.parametrize(
    ("how", "machine"),
    [("moved", "its own"), ("moved", "a shallow clone"), ("state mv", "a clone"), ("by its request", "a clone")],
)
def test_an_earlier_request_is_answered_by_the_text_that_was_paid_for_it(
    tmp_path: Path, how: str, machine: str
) -> None:
    """From the cache, from git, or from the server, which knows it by the id of then."""
    shallow = machine == "a shallow clone"
    harness = _renamed(tmp_path / "site", how, "replay" if shallow else "ignore")
    if machine != "its own":
        harness = cloned(harness, tmp_path / "clone", *(("--depth", "1") if shallow else ()))
    _write(harness, "c", 2026)
    harness.apply()
    assert (len(harness.api.generations), "in 2026" in split(harness.read("out/c.md")).body) == (2, True)
    assert harness.plan().empty


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_clone_brings_the_text_of_an_earlier_request_from_git(tmp_path: Path, request_ids: str) -> None:
    """Whatever the server makes of our ids, also where the server has another text in its content by now."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30, request_ids=request_ids))
    rewrite(harness, 2026)
    harness.apply(replace=("a",))
    last = split(harness.read(OUT)).body
    in_git(harness, "2026")
    rewrite(harness, 2027)
    in_git(harness, "2027")
    clone = cloned(harness, tmp_path / "clone")
    clone.write("content/blog.yaml", blog("new", "a"))
    assert clone.plan().credits == 4
    clone.apply()
    assert [job.topic for job in harness.api.generations].count("All about a in 2026") == 2
    assert split(clone.read(OUT)).body == last
    assert (harness.api.contents[clone.record("a").content_id].body, clone.plan().empty) == (last, True)

    shallow = cloned(harness, tmp_path / "shallow", "--depth", "1")
    shallow.write("content/blog.yaml", blog("a"))
    paid = len(harness.api.generations)
    shallow.apply(on_edit=OnEdit.OVERWRITE)  # the other clone has saved into the content meanwhile
    assert len(harness.api.generations) == paid


def test_a_text_that_was_kept_answers_no_other_request(tmp_path: Path) -> None:
    """A person said that the edited file answers 2027: what was generated for 2026 does not."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30))
    rewrite(harness, 2026)
    in_git(harness, "2026")
    harness.edit(OUT, "## Introduction", "## Mine")
    rewrite(harness, 2027, on_edit=OnEdit.KEEP)
    in_git(harness, "kept")
    rewrite(harness, 2028, on_edit=OnEdit.OVERWRITE)
    in_git(harness, "2028")
    clone = cloned(harness, tmp_path / "clone")
    for year, paid in ((2026, 0), (2027, 1)):
        before = len(harness.api.generations)
        rewrite(clone, year)
        assert (len(harness.api.generations) - before, f"in {year}" in clone.read(OUT)) == (paid, True)


@pytest.fixture
def site(tmp_path: Path) -> Harness:
    """One item whose text was written three times: two takes of one request, and another request's."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30))
    rewrite(harness, 2026)
    harness.apply(replace=("a",))
    rewrite(harness, 2027)
    return harness


def listed(harness: Harness, invoke: Run) -> list[dict[str, Any]]:
    """What `history` lists of the texts, the newest first."""
    ended = invoke("report", "--runs", "--select", "a", "--json", cwd=harness.root)
    assert ended.code == 0, ended.stderr
    return list(ended.json["texts"])


def put_back(harness: Harness, to: str, **how: Any) -> restoring.Restored:
    """Restores a text, on virtual time."""
    return restoring.restore(harness.project, "a", to, runtime=harness.runtime(), **how)


def test_history_lists_every_text_and_where_it_is(site: Harness, invoke: Run) -> None:
    """Two of one request too; which one stands in the file, and what each cost."""
    found = listed(site, invoke)
    assert [(one["credits"], one["where"], one["stands"], one["generated"]) for one in found] == [
        (4, ["cache", "server"], True, True),
        (4, ["cache", "server"], False, False),
        (4, ["cache", "server"], False, False),
    ]
    assert [one["job_id"] for one in found] == [job.job_id for job in reversed(site.api.generations)]
    shown = invoke("report", "--runs", "--select", "a", cwd=site.root).stdout
    for one in found:
        assert one["body"].removeprefix("sha256:")[:12] in shown
    assert "in cache, on server  in the file, last generated" in shown


def test_an_earlier_text_is_put_back_for_nothing_and_is_an_edit_then(site: Harness, invoke: Run) -> None:
    """Front matter stays as it stands, words of a person in it too; the next apply saves it; and back again."""
    site.edit(OUT, "title:", "mine: yes\ntitle:")
    front = site.read(OUT).partition("\n---\n")[0]
    last, second, first = listed(site, invoke)
    ended = invoke("restore", "a", "--to", first["body"][7:13], cwd=site.root)
    assert ended.code == 0, ended.stderr
    assert "from the cache; nothing was paid" in ended.stdout
    assert "Take 1." in site.read(OUT)
    assert (site.read(OUT).partition("\n---\n")[0], site.record("a").generated) == (front, last["body"])
    assert site.actions() == {"a": "save"}
    site.apply()
    assert "in the file" in invoke("report", "--runs", "--select", "a", cwd=site.root).stdout
    # No person's words are in the way of another text that was paid for.
    assert invoke("restore", "a", "--to", second["body"], cwd=site.root).code == 0
    back = invoke("restore", "a", "--to", last["body"], "--json", cwd=site.root).json
    assert (back["source"], back["copy"]) == ("cache", "")
    site.apply()
    assert "as generated" in invoke("status", cwd=site.root).stdout
    assert invoke("restore", "a", "--to", last["body"], cwd=site.root).stdout.endswith("already.\n")
    assert len(site.api.generations) == 3


def test_a_persons_words_are_only_replaced_by_choice(site: Harness, invoke: Run) -> None:
    """And a copy of the file stays."""
    first = listed(site, invoke)[-1]["body"]
    site.edit(OUT, "## Introduction", "## Mine")
    edited = site.read(OUT)
    refused = invoke("restore", "a", "--to", first, cwd=site.root)
    assert (refused.code, site.read(OUT), "`--on-edit overwrite`" in refused.stderr) == (4, edited, True)
    done = invoke("restore", "a", "--to", first, "--on-edit", "overwrite", "--json", cwd=site.root).json
    assert (site.read(done["copy"]), "Take 1." in site.read(OUT)) == (edited, True)


def test_without_a_text_named_those_there_are_are_listed(site: Harness, invoke: Run) -> None:
    """Without `--to` that is an answer; a name of none says what there is."""
    short = listed(site, invoke)[0]["body"][7:19]
    ended = invoke("restore", "a", cwd=site.root)
    assert (ended.code, ended.stderr, short in ended.stdout) == (0, "", True)
    assert ended.stdout.endswith("Next: `contentops restore a --to TEXT` puts one of them back\n")
    asked = invoke("restore", "a", "--json", cwd=site.root)
    assert (asked.code, len(asked.json["texts"]), asked.json["diagnostics"]) == (0, 3, [])
    for to, code in ((f"{short[:-1]}x", "unknown-text"), ("", "unknown-text"), ("zz", "unknown-text")):
        wrong = invoke("restore", "a", "--to", to, "--json", cwd=site.root)
        assert (wrong.code, wrong.json["diagnostics"][0]["code"]) == (64, code)
        assert short in wrong.json["diagnostics"][0]["hint"]
    assert invoke("restore", "b", "--to", short, cwd=site.root).code == 64


def test_a_text_that_the_cache_lacks_comes_from_git_or_the_server(site: Harness, tmp_path: Path) -> None:
    """The server gives what it still has: the job's text, or the content; what no one has is an error that says so."""
    for year in (2026, 2027):
        rewrite(site, year)
        in_git(site, str(year))
    clone = cloned(site, tmp_path / "clone")
    last = split(site.read(OUT)).body
    texts = paid_texts(clone)
    assert [one.where for one in texts] == [("git", "server")] * 2 + [("server",)]
    done = put_back(clone, texts[1].job.body)
    assert isinstance(done.text, PaidText)
    assert (done.source, done.text.generated, put_back(clone, texts[0].job.body).source) == ("git", False, "git")
    assert split(clone.read(OUT)).body == last

    shallow = cloned(site, tmp_path / "shallow", "--depth", "1")
    assert put_back(shallow, texts[1].job.body).source == "server"
    with pytest.raises(UsageError, match="has no text") as unknown:
        put_back(shallow, digest_text("x"))
    assert "`fetch-depth: 0`" in unknown.value.hint
    (shallow.root / OUT).unlink()
    text = paid_texts(shallow)[0]
    shutil.rmtree(shallow.root / ".git")
    assert (put_back(shallow, text.job.body).source, split(shallow.read(OUT)).body) == ("server", last)
    assert shallow.plan().empty

    shutil.rmtree(shallow.root / ".contentops")
    (shallow.root / OUT).unlink()
    shallow.api.contents.clear()
    shallow.api.jobs.clear()
    with pytest.raises(StateError, match=r"not the cache, not git's history .* not the server") as caught:
        put_back(shallow, text.job.body)
    assert "not in a git repository" in caught.value.hint


def test_what_stands_in_the_way_of_a_restore(site: Harness) -> None:
    """Another apply, protection, and a file that cannot be read; nothing is changed by any of them."""
    text = paid_texts(site)[-1].job.body
    with hold_lock(site.project, site.runtime()), pytest.raises(LockHeld):
        put_back(site, text)
    site.write("content/blog.yaml", blog("a", year=2027) + "    protected: true\n")
    site.apply()
    before = site.read(OUT)
    with pytest.raises(Refused, match="protected"):
        put_back(site, text, overwrite=True)
    assert site.read(OUT) == before
    (site.root / OUT).write_bytes(b"\xff\xfe")
    with pytest.raises(OutputError, match="UTF-8"):
        put_back(site, text, overwrite=True)


def test_a_file_that_is_gone_comes_back_from_git(tmp_path: Path) -> None:
    """A person's words that were saved too, where neither cache nor server has them any more; nothing is paid."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30))
    rewrite(harness, 2026)
    harness.edit(OUT, "## Introduction", "## Mine")
    harness.apply()
    edited = harness.read(OUT)
    in_git(harness, "Edited")
    clone = cloned(harness, tmp_path / "clone")
    (clone.root / OUT).unlink()
    clone.api.contents.clear()
    clone.api.jobs.clear()
    assert clone.actions() == {"a": "restore"}
    clone.apply()
    assert (split(clone.read(OUT)).body, len(clone.api.generations)) == (split(edited).body, 1)
