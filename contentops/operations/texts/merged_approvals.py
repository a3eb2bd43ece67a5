"""`approve --merged`: record who approved, on GitHub, the texts that merged pull requests changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.clone import open_clone
from contentops.ci.git import PATIENCE
from contentops.ci.github import connect
from contentops.ci.results import nfc, words_in
from contentops.ci.reviews import merge_base, merged_pulls
from contentops.ci.runner import branch_of_run, commit_before, read_event
from contentops.digest import NO_TEXT, NOTHING
from contentops.errors import UsageError
from contentops.model import NO_APPROVAL, Approval, Run, Verdict, text_digest
from contentops.operations.apply_lock import hold_lock
from contentops.operations.opening import HERE
from contentops.operations.texts.approving import free_steps
from contentops.operations.workspace import open_workspace
from contentops.planning.plan_inputs import Choice
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from contentops.ci.git import Clone
    from contentops.ci.host import GitHub
    from contentops.ci.reviews import MergedPull
    from contentops.digest import Digest
    from contentops.model import ItemId, Project
    from contentops.operations.opening import Runtime
    from contentops.planning.plan_inputs import PlanInputs


class MergedApprovals(Struct, frozen=True, kw_only=True):
    """What was recorded of the approvals of merged pull requests, and the run of the free steps after it."""

    asked: bool = True
    """Whether GitHub was asked: not where nothing in the project is about approvals."""
    pulls: tuple[MergedPull, ...] = ()
    lines: tuple[Approval, ...] = ()
    """The new lines of `contentops.approvals`."""
    notes: tuple[str, ...] = ()
    """Why other reviews and texts do not count, each a sentence."""
    run: Run | None = None
    warning: str = ""
    """Why the free steps are left to the next apply, or empty."""


def record_merged(project: Project, *, pause: Callable[[float], None], runtime: Runtime = HERE) -> MergedApprovals:
    """Record the approvals of the pull requests whose merge is checked out, then update the front matter of the texts.

    All or nothing: where GitHub does not answer, or makes no sense, nothing is recorded. `pause` waits some seconds
    before a call is tried again. Raises UsageError where the repository, the branch or the token is not known,
    HostError, GitFailed, InputError, LockHeld, StateError.
    """
    root, environ = Path(project.root), runtime.environ
    with hold_lock(project, runtime):
        with open_workspace(project, runtime) as workspace:
            inputs = workspace.plan_inputs(Choice())
            if not _asks_for_approvals(inputs):
                return MergedApprovals(asked=False)
            texts = dict(_texts(inputs))
        clone = open_clone(project.root, environ, remote="origin", push=False, patience=PATIENCE)
        branch, commits = _pushed(clone, environ)
        github, server = connect(environ, pause=pause), environ.get("GITHUB_SERVER_URL") or "https://github.com"
        pulls = merged_pulls(github, server, branch, commits)
        notes: list[str] = []
        lines = tuple(line for pull in pulls for line in _approved(clone, github, pull, texts, notes))
        with approvals.locked(root):
            approvals.record(root, runtime.disk, lines)
    run, warning = free_steps(project, frozenset(line.item for line in lines), runtime) if lines else (None, "")
    return MergedApprovals(pulls=pulls, lines=lines, notes=tuple(notes), run=run, warning=warning)


class _ItemText(NamedTuple):
    item: ItemId
    path: str
    digest: Digest
    refused: str
    """Why no review of a pull request approves it, in words; empty: one does."""


def _asks_for_approvals(inputs: PlanInputs) -> bool:
    """Whether anything in the project depends on approvals."""
    stated = any(spec.approval != NO_APPROVAL for spec in inputs.specs.values())
    return stated or bool(inputs.approvals.lines) or inputs.project.disclosure is not None


def _texts(inputs: PlanInputs) -> Iterator[tuple[str, _ItemText]]:
    """Yield what is not approved yet by path: where items are, where they move to, where they are promoted from."""
    for spec in inputs.specs.values():
        record = inputs.state.records.get(spec.id)
        source = inputs.source and inputs.source.source_text(spec, inputs.observe, drafts=True)
        for path in (spec.output, *([record.output] if record else []), *([source.file.path] if source else [])):
            file = inputs.observe(path)
            text = text_digest(file.title, file.body)
            if file.exists and not file.problem and file.body != NO_TEXT and not inputs.approvals.is_approved(text):
                refused = "is a draft outline of the bundled server" if file.labelled else ""
                refused = "has characters that no one sees, or a title too long" if file.hidden else refused
                yield nfc(path), _ItemText(spec.id, file.path, text, refused)


def _pushed(clone: Clone, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the branch that was pushed to, and the newest 100 commits of the push on it, the oldest first."""
    ref = clone.attempt("symbolic-ref", "--quiet", "HEAD").text
    branch = ref.removeprefix("refs/heads/") or branch_of_run(environ)
    if not branch:
        hint = "run it where the merged branch is checked out: after a push, not on a pull request or a tag"
        raise UsageError("no branch is checked out, so nothing was merged into it", code="no-branch", hint=hint)
    before = commit_before(read_event(environ))
    # Where a run is repeated, or the clone lacks the start of the push, the last commit alone is looked at.
    since = ("rev-list", "--first-parent", "--max-count=100", "HEAD", f"^{before}", "--")
    listed = clone.attempt(*since).text.split() if before else []
    return branch, listed[::-1] or [clone.run("rev-parse", "--verify", "HEAD^{commit}")]


def _approved(
    clone: Clone, github: GitHub, pull: MergedPull, texts: Mapping[str, _ItemText], notes: list[str]
) -> Iterator[Approval]:
    """Yield the approvals of the texts whose words a pull request changed, and note why others do not count."""
    about, folder = f"pull request {pull.number}", clone.read("rev-parse", "--show-prefix").rstrip("\n")
    notes += (f"{about}: {note}" for note in pull.notes)
    in_project = {name: nfc(name.removeprefix(folder)) for name in pull.files if name.startswith(folder)}
    changed = {name: texts[path] for name, path in in_project.items() if path in texts}
    parent = clone.attempt("rev-parse", "--verify", "--quiet", f"{pull.commit}^1").text if changed else ""
    base = merge_base(github, parent, pull.head) if parent else ""
    if changed and (not base or clone.attempt("cat-file", "-e", f"{base}^{{commit}}").code):
        notes.append(f"{about}: this clone lacks the texts before it; check out with `fetch-depth: 0` and run it again")
        return
    earlier = words_in(clone.root, (f"{base}:{pull.files[name][1]}" for name in changed), clone.extra)
    for name, text in changed.items():
        oid, before = pull.files[name]
        words = earlier.get(f"{base}:{before}")
        if clone.run("hash-object", "--", text.path) != oid:
            notes.append(f"{about}: `{text.path}` is not as it was approved: it changed at the merge or after it")
        elif text.refused:
            notes.append(f"{about}: `{text.path}` {text.refused}, so the review does not approve it")
        elif words in (text.digest, NOTHING):
            why = "changed no word of" if words else "replaced a text that cannot be read,"
            notes.append(f"{about} {why} `{text.path}`; approve it with `contentops approve {text.item}` at a terminal")
        else:
            approve = partial(Approval, item=text.item, text=text.digest, verdict=Verdict.APPROVED, source=pull.address)
            yield from (approve(by=by, at=at) for by, at in pull.approvals.items())
