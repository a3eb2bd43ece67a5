"""`approve` and `send-back`: record what a person says of texts, and carry out the free steps that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.ci.git import GitFailed, try_git
from contentops.ci.runner import in_ci
from contentops.digest import NO_TEXT, Digest
from contentops.errors import ContentopsError, Diagnostic, InputError, Location, Refused, UsageError
from contentops.execution.times import iso
from contentops.model import Approval, ItemId, Run, Verdict, text_digest
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.apply_lock import hold_lock
from contentops.operations.opening import HERE
from contentops.operations.plan import candidate, no_item
from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice
from contentops.planning.select import is_changed_by_hand, selected
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.planning.select import Candidate


class Decision(Struct, frozen=True, kw_only=True):
    """What a person says of the texts of some items."""

    verdict: Verdict
    note: str = ""
    source: str = "terminal"
    """Where it is said: `terminal` or `page`."""
    texts: Mapping[ItemId, Digest] = {}
    """The text that the person saw, by item; of other items, the text that the file has now."""


class Decided(Struct, frozen=True, kw_only=True):
    """What was recorded of a decision, and the run of the free steps after it."""

    by: str
    lines: tuple[Approval, ...] = ()
    """The new lines of `contentops.approvals`."""
    known: tuple[ItemId, ...] = ()
    """Items of whose text the person said the same before."""
    skipped: tuple[ItemId, ...] = ()
    """Selected items that have no text yet."""
    run: Run | None = None
    warning: str = ""
    """Why the free steps are left to the next apply, or empty."""


def decide_texts(project: Project, choice: Choice, decision: Decision, *, runtime: Runtime = HERE) -> Decided:
    """Record a decision on the texts of the selected items, then carry out the updates of their front matter.

    Raises UsageError for selectors that match nothing and without a git identity, Refused under CI, InputError with a
    finding for each text that cannot be decided about (then nothing is recorded), LockHeld while an apply runs,
    StateError.
    """
    if decision.verdict is Verdict.SENT_BACK and not decision.note.strip():
        hint = 'say what is to change: `--note "..."`'
        raise UsageError("a text is sent back with a note", code="note-missing", hint=hint)
    if in_ci(runtime.environ):
        message = "who approves is a person, and this is CI"
        hint = "`contentops approve --merged` records who approved the merged change"
        raise Refused(message, code="approve-in-ci", hint=hint)
    by, address = git_identity(project.root)
    with hold_lock(project, runtime):
        with open_workspace(project, runtime) as workspace:
            inputs = workspace.plan_inputs(Choice())
            for name in choice.select:
                if _is_id(name) and ItemId(name) not in inputs.specs:
                    raise no_item(name, inputs.specs)
            changes = {change.id: change for change in make_plan(inputs).changes}
            items = selected(choice, [candidate(id_, inputs, changes) for id_ in sorted(inputs.specs)])
        with_text = [item for item in items if item.file is not None and item.file.exists]
        if findings := [finding for item in with_text for finding in _problems(project, item, decision, address)]:
            raise InputError(findings)
        at, lines, known = iso(runtime.wall()), [], []
        with approvals.locked(Path(project.root)):
            before = approvals.load(Path(project.root), runtime.disk)
            for item in with_text:
                line = Approval(
                    item=item.id,
                    text=_text_of(item),
                    verdict=decision.verdict,
                    by=by,
                    at=at,
                    note=decision.note.strip(),
                    source=decision.source,
                )
                same = (line.person, decision.verdict, line.note)
                is_known = any((one.person, one.verdict, one.note) == same for one in before.of_text(line.text))
                known.append(item.id) if is_known else lines.append(line)
            approvals.record(Path(project.root), runtime.disk, lines)
    skipped = tuple(item.id for item in items if item not in with_text)
    decided = Decided(by=by, lines=tuple(lines), known=tuple(known), skipped=skipped)
    run, warning = free_steps(project, frozenset(item.id for item in with_text), runtime)
    return structs.replace(decided, run=run, warning=warning)


def _is_id(selector: str) -> bool:
    """Whether a selector is the id of one item, without wildcards."""
    return not set(selector) & set("*?[]:{},")


def git_identity(root: str) -> tuple[str, str]:
    """The name and address of the person by git's settings, as `NAME <ADDRESS>`, and the address.

    Raises UsageError where git names no one, or `root` is in no repository.
    """
    try:
        inside = try_git(root, "rev-parse", "--is-inside-work-tree")
        ended = try_git(root, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitFailed as error:
        raise UsageError(error.message, code="no-identity", hint="approvals name a person as git does") from error
    if inside.code:
        hint = "approvals are kept in git: `git init`, and commit the project"
        raise UsageError("the project is in no git repository", code="no-identity", hint=hint)
    by = ended.text.rpartition(">")[0] + ">"
    address = by.rpartition("<")[2].removesuffix(">")
    if ended.code or not address or by.startswith("<"):
        hint = 'tell git your name: `git config user.name "..."` and `git config user.email "..."`'
        raise UsageError("git does not know who you are", code="no-identity", hint=hint)
    return by, address


def _text_of(item: Candidate) -> Digest:
    assert item.file is not None
    return text_digest(item.file.title, item.file.body)


def _problems(project: Project, item: Candidate, decision: Decision, address: str) -> Iterator[Diagnostic]:
    """Why nothing can be said of an item's text."""
    file, spec, record = item.file, item.spec, item.record
    assert file is not None
    assert spec is not None

    def finding(code: str, message: str, hint: str) -> Diagnostic:
        return Diagnostic(code=code, message=f"`{item.id}`: {message}", hint=hint, location=Location(file.path))

    if file.problem:
        yield finding("unreadable-file", file.problem, "")
        return
    if file.body == NO_TEXT:
        yield finding("empty-text", "its file has no text", "there is nothing to read in it")
    expected = decision.texts.get(item.id)
    if expected is not None and expected != _text_of(item):
        yield finding("text-changed", "its text is another one now", "read it as it is now, and decide again")
    by_author = spec.approval.by_author or decision.verdict is Verdict.SENT_BACK
    if by_author or record is None or not is_changed_by_hand(file, record, item.entries):
        return
    if _last_author(project.root, file.path) in ("", address.casefold()):
        hint = "someone else approves it: `approval: {by_author: false}`"
        yield finding("by-author", "you edited this text, so your approval does not count", hint)


def _last_author(root: str, path: str) -> str:
    """The address of the author of the last commit of a file; empty where it has changes that are not committed."""
    if try_git(root, "status", "--porcelain", "--", path).text:
        return ""
    return try_git(root, "log", "-1", "--format=%ae", "--", path).text.casefold()


def free_steps(project: Project, ids: frozenset[ItemId], runtime: Runtime) -> tuple[Run | None, str]:
    """Carry out the updates of items' front matter that follow from verdicts: draft marks and disclosures.

    Returns the run, or None and why the updates are left to the next apply.
    """
    choice = Choice(only=ids, only_front=True)
    try:
        _, run = apply(project, choice, ApplyOptions(), confirm=lambda _: True, emit=lambda _: None, runtime=runtime)
    except ContentopsError as error:
        return None, f"the next apply updates the front matter: {error.message}"
    return run, ""
