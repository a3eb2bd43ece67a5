"""`approve --merged`: record who approved, on the repository's host, the texts that merged pull requests changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.clone import open_clone
from contentops.ci.git import PATIENCE
from contentops.ci.github import connect
from contentops.ci.gitlab import connect_gitlab, gitlab_merges
from contentops.ci.results import nfc, words_in
from contentops.ci.reviews import before_merge, github_merges, pushed_commits
from contentops.ci.runner import branch_of_run, commit_before, read_event
from contentops.digest import NO_TEXT, NOTHING
from contentops.errors import UsageError
from contentops.model import NO_APPROVAL, Approval, ItemId, Run, Verdict, text_digest
from contentops.operations.apply_lock import hold_lock
from contentops.operations.opening import HERE
from contentops.operations.texts.approving import free_steps
from contentops.operations.workspace import open_workspace
from contentops.planning.plan_inputs import Choice
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from contentops.ci.git import Clone
    from contentops.ci.reviews import MergedPull
    from contentops.digest import Digest
    from contentops.model import Approvals, Observed, Project, Spec
    from contentops.operations.opening import Runtime
    from contentops.planning.plan_inputs import PlanInputs

_GITHUB = "https://github.com"


class MergedApprovals(Struct, frozen=True, kw_only=True):
    """What was recorded of the approvals of merged pull requests, and the run of the free steps after it."""

    asked: bool = True
    """Whether the host was asked: not where nothing in the project is about approvals."""
    pulls: tuple[MergedPull, ...] = ()
    lines: tuple[Approval, ...] = ()
    """The new lines of `contentops.approvals`."""
    known: tuple[ItemId, ...] = ()
    """Items whose approvals were recorded before."""
    notes: tuple[str, ...] = ()
    """Why other reviews and texts do not count, each a sentence."""
    run: Run | None = None
    warning: str = ""
    """Why the free steps are left to the next apply, or empty."""


def record_merged(project: Project, *, pause: Callable[[float], None], runtime: Runtime = HERE) -> MergedApprovals:
    """Record the approvals of the pull requests whose merge is checked out, then update the front matter of the texts.

    All or nothing: where the host does not answer, or makes no sense, nothing is recorded. `pause` waits some seconds
    before a call is tried again. Raises UsageError where the host, the branch or the token is not known, HostError,
    GitFailed, InputError, LockHeld, StateError.
    """
    with hold_lock(project, runtime):
        with open_workspace(project, runtime) as workspace:
            inputs = workspace.plan_inputs(Choice())
            if not _asks_for_approvals(inputs):
                return MergedApprovals(asked=False)
            texts = dict(_texts(inputs))
        clone = open_clone(project.root, runtime.environ, remote="origin", push=False, patience=PATIENCE)
        pulls, note = _merges(clone, runtime.environ, pause)
        blobs = _blobs(clone)
        with approvals.locked(Path(project.root)):
            found = _Found(clone, texts, blobs, approvals.load(Path(project.root), runtime.disk))
            for pull in pulls:
                found.take(pull)
            approvals.record(Path(project.root), runtime.disk, found.lines)
    notes = (*([note] if note else []), *found.notes)
    known = tuple(dict.fromkeys(found.known))
    ids = frozenset((*known, *(line.item for line in found.lines)))
    run, warning = free_steps(project, ids, runtime) if ids else (None, "")
    return MergedApprovals(pulls=pulls, lines=tuple(found.lines), known=known, notes=notes, run=run, warning=warning)


def _asks_for_approvals(inputs: PlanInputs) -> bool:
    """Whether anything in the project depends on approvals."""
    stated = any(spec.approval != NO_APPROVAL for spec in inputs.specs.values())
    return stated or bool(inputs.approvals.lines) or inputs.project.disclosure is not None


# --- the host ----------------------------------------------------------------------------------------------


def _merges(
    clone: Clone, environ: Mapping[str, str], pause: Callable[[float], None]
) -> tuple[tuple[MergedPull, ...], str]:
    """Return the pull requests whose merges are checked out, and a sentence where some may be missing."""
    ref = clone.attempt("symbolic-ref", "--quiet", "HEAD").text
    branch = ref.removeprefix("refs/heads/") or branch_of_run(environ)
    if not branch:
        hint = "run it where the merged branch is checked out: after a push, not on a pull request or a tag"
        raise UsageError("no branch is checked out, so nothing was merged into it", code="no-branch", hint=hint)
    commits, note = pushed_commits(clone.root, commit_before(environ, read_event(environ)))
    if environ.get("GITLAB_CI"):
        gitlab = connect_gitlab(environ, pause=pause)
        return gitlab_merges(gitlab, clone, environ["CI_PROJECT_URL"], branch, commits), note
    if not environ.get("GITHUB_REPOSITORY"):
        hint = "in a job of GitHub or GitLab; elsewhere approve with `contentops approve ITEM` at a terminal"
        raise UsageError("the host that merged the pull request is unknown", code="no-host", hint=hint)
    server = (environ.get("GITHUB_SERVER_URL") or _GITHUB).rstrip("/")
    return github_merges(connect(environ, pause=pause), server, branch, commits), note


# --- the texts ---------------------------------------------------------------------------------------------


class _ItemText(NamedTuple):
    """The text of an item in a file of the tree."""

    spec: Spec
    file: Observed

    @property
    def digest(self) -> Digest:
        """The digest of its words, which an approval is bound to."""
        return text_digest(self.file.title, self.file.body)


def _texts(inputs: PlanInputs) -> Iterator[tuple[str, _ItemText]]:
    """Yield the texts of declared items by path: where they are, where they move to, where they are promoted from."""
    for spec in inputs.specs.values():
        record = inputs.state.records.get(spec.id)
        source = inputs.source and inputs.source.source_text(spec, inputs.observe, drafts=True)
        others = (*([record.output] if record else []), *([source.file.path] if source else []))
        for path in dict.fromkeys((spec.output, *others)):
            file = inputs.observe(path)
            if file.exists and not file.problem and file.body != NO_TEXT:
                yield nfc(path), _ItemText(spec, file)


def _blobs(clone: Clone) -> dict[str, tuple[str, str]]:
    """Return the files of the last commit below the project: the object id of each, and its path in the project.

    By path in the repository; files that differ from the commit on disk have no id.
    """
    folder = clone.read("rev-parse", "--show-prefix").rstrip("\n")
    changed = set(clone.names("diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z", "HEAD"))
    blobs = {}
    for entry in clone.names("ls-tree", "-r", "-z", "HEAD", "--", "."):
        about, _, path = entry.partition("\t")
        blobs[folder + path] = ("" if path in changed else about.split(" ")[2], path)
    return blobs


def _texts_before(clone: Clone, before: str, pull: MergedPull) -> dict[str, Digest]:
    """Return the words of the files that a merge changed or removed, as they were at the commit `before`.

    By path in the repository; the digest is empty where a file cannot be read. Raises GitFailed.
    """
    old = {
        path: earlier.oid
        for path, (earlier, after) in clone.changes(before, pull.commit).items()
        if earlier.oid and (path in pull.files or not after.oid)
    }
    words = words_in(clone.root, old.values(), clone.extra)
    return {path: words.get(oid, NOTHING) for path, oid in old.items()}


class _Found:
    """The texts that the people of pull requests have approved, and why others do not count."""

    def __init__(
        self,
        clone: Clone,
        texts: Mapping[str, _ItemText],
        blobs: Mapping[str, tuple[str, str]],
        before: Approvals,
    ) -> None:
        self._clone = clone
        self._texts = texts
        self._blobs = blobs
        self._before = before
        self.lines: list[Approval] = []
        self.known: list[ItemId] = []
        """Items of whose text a person said the same before."""
        self.notes: list[str] = []

    def take(self, pull: MergedPull) -> None:
        """Add the approvals of a pull request: of each person, of each text whose words it changed."""
        about = f"pull request {pull.number}"
        self.notes += (f"{about}: {note}" for note in pull.notes)
        approved = {}
        for name, oid in pull.files.items():
            here, path = self._blobs.get(name, ("", ""))
            text = self._texts.get(nfc(path)) if path else None
            if path == approvals.FILE:
                self.notes.append(f"{about} changed `{path}` itself, so its reviewers are responsible for it")
            if text is not None:
                if all(self._is_known(line) for line in _lines(text, pull)):
                    self.known.append(text.spec.id)
                elif not oid or here != oid:
                    self.notes.append(
                        f"{about}: `{path}` is not as it was approved: it changed at the merge or after it"
                    )
                else:
                    approved[name] = text
        for _, text in self._of_its_words(pull, approved):
            self.lines += (line for line in _lines(text, pull) if not self._is_known(line))

    def _of_its_words(self, pull: MergedPull, approved: Mapping[str, _ItemText]) -> Iterator[tuple[str, _ItemText]]:
        """Yield the texts whose words the pull request changed: who approves it has seen no word of the others."""
        if not approved:
            return
        about = f"pull request {pull.number}"
        before = before_merge(self._clone, pull)
        if not before:
            why = "nothing is recorded, as this shallow clone lacks the texts before it"
            self.notes.append(f"{about}: {why}; check out with `fetch-depth: 0` and run it again")
            return
        old = _texts_before(self._clone, before, pull)
        touched = {nfc(self._blobs[name][1]) for name in pull.files if name in self._blobs}
        # Words that are moved or copied from another file are not new.
        words = {*old.values(), *(text.digest for path, text in self._texts.items() if path not in touched)}
        for name, text in approved.items():
            path, command = self._blobs[name][1], f"`contentops approve {text.spec.id}` at a terminal"
            if old.get(name) == NOTHING:
                self.notes.append(f"{about}: the earlier text of `{path}` cannot be read; approve it with {command}")
            elif text.digest in words:
                self.notes.append(f"{about} changed no word of `{path}`; approve it with {command}")
            else:
                yield name, text

    def _is_known(self, line: Approval) -> bool:
        """Whether the person approved the text before: only what is new is worth another line."""
        said = (*self._before.of_text(line.text), *(one for one in self.lines if one.text == line.text))
        return any((one.person, one.verdict) == (line.person, line.verdict) for one in said)


def _lines(text: _ItemText, pull: MergedPull) -> Iterator[Approval]:
    """Yield the approvals of a pull request, of a text as it is now."""
    for one in pull.approvals:
        yield Approval(
            item=text.spec.id,
            text=text.digest,
            verdict=Verdict.APPROVED,
            by=pull.who(one.login),
            at=one.at,
            source=pull.address,
        )
