"""`approve` and `send-back` record a person's decision on texts, then update the texts' front matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct, structs

from contentops.ci.git import PATIENCE, Clone, GitFailed, try_git
from contentops.ci.github import GitHub, MergedPull, connect, merge_base, merged_pulls
from contentops.ci.push import branch_of, open_clone
from contentops.ci.results import nfc, words_in
from contentops.ci.runner import commit_before, in_ci, read_event
from contentops.digest import NO_TEXT, NOTHING, Digest
from contentops.documents.blocks import TextBlock, parse_blocks
from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import (
    ContentopsError,
    Diagnostic,
    InputError,
    Location,
    Refused,
    UsageError,
)
from contentops.execution.primitives import iso
from contentops.manifests.declare import with_input
from contentops.model import (
    NO_APPROVAL,
    Approval,
    Approvals,
    ItemId,
    Observed,
    Project,
    Run,
    Spec,
    Verdict,
    text_digest,
)
from contentops.model.approval import Comment
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.opening import HERE, Runtime, open_cache
from contentops.operations.workspace import hold_lock, no_item, open_workspace, read_manifest, write_manifest
from contentops.planning.approval import has_its_keys, same_words
from contentops.planning.plan import is_about_front, plan_with_items
from contentops.planning.select import Candidate, selected
from contentops.planning.sides import Choice, PlanInputs
from contentops.sections import has_words
from contentops.state import approvals

# ---- `approve` and `send-back`.

_SHOWN: Final = 5


class Decision(Struct, frozen=True, kw_only=True):
    """A person's decision about the texts of some items: approve them, send them back, or withdraw a decision."""

    verdict: Verdict
    note: str = ""
    source: str = "terminal"
    """Where the verdict is given: `terminal` or `page`."""
    texts: Mapping[ItemId, Digest] = {}
    """The text that the person saw, by item. For other items, the current text of the file counts."""


class Decided(Struct, frozen=True, kw_only=True):
    """The recorded decisions on texts, and the run that then updated the front matter of the items."""

    by: str
    lines: tuple[Approval, ...] = ()
    """The new lines of `contentops.approvals`."""
    known: tuple[ItemId, ...] = ()
    """Items on whose text the person gave the same verdict before."""
    also: tuple[ItemId, ...] = ()
    """Other items with the same words: the verdict counts for them too."""
    skipped: tuple[ItemId, ...] = ()
    """Selected items that have no text yet."""
    run: Run | None = None
    warning: str = ""
    """Why the free steps are left to the next apply, or empty."""


def decide_texts(project: Project, choice: Choice, decision: Decision, *, runtime: Runtime = HERE) -> Decided:
    """Record a person's decision on the texts of the selected items, then update the items' front matter.

    Raises UsageError if selectors match nothing or git has no identity, and Refused in CI. Raises InputError with a
    finding for each text that cannot get this verdict; then nothing is recorded. Raises LockHeld while an apply runs,
    StateError.
    """
    if decision.verdict is Verdict.SENT_BACK and not has_words(decision.note):
        hint = 'say what is to change: `--note "..."`'
        raise UsageError("a text is sent back with a note", code="note-missing", hint=hint)
    refuse_ci(runtime)
    by = git_identity(project.root)
    with hold_lock(project, runtime):
        with open_workspace(project, runtime) as workspace:
            inputs = workspace.plan_inputs(Choice())
            for name in choice.select:
                if _is_id(name) and ItemId(name) not in inputs.specs:
                    raise no_item(name, inputs.specs)
            every = [item for item in plan_with_items(inputs)[1] if item.spec is not None]
            items = selected(choice, every)
        with_text = [item for item in items if item.file is not None and item.file.exists]
        if findings := [finding for item in with_text for finding in _problems(item, decision, choice)]:
            raise InputError(findings)
        at, lines, known = iso(runtime.wall()), [], []
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
            _refuse_past(line, before)
            known.append(item.id) if before.has(line) else lines.append(line)
        recorded = approvals.record(Path(project.root), runtime.disk, lines)
        _keep_words(project, with_text)
    skipped = tuple(item.id for item in items if item not in with_text)
    twins, decided_ids = same_words(every), {item.id for item in with_text}
    also = tuple(sorted({other for id_ in decided_ids for other in twins.get(id_, ())} - decided_ids))
    decided = Decided(by=by, lines=tuple(lines), known=tuple(known), also=also, skipped=skipped)
    run, warning = free_steps(project, frozenset(item.id for item in with_text), runtime)
    later = _left_for_later(structs.replace(inputs, approvals=recorded), with_text, run)
    return structs.replace(decided, run=run, warning=warning or later)


def comment_on(
    project: Project, item: ItemId, file: Observed, text: Digest, comment: tuple[str, str], *, runtime: Runtime = HERE
) -> Comment:
    """Record a person's comment on some words of a text.

    `comment` has the quoted words, then the note. `text` is the text that the person saw, and `file` the item's file
    now. Raises UsageError if the words or the note are missing, or if no single block of the text has the words. Raises
    Refused in CI, and if the text has changed. Also raises LockHeld, and what `git_identity` raises.
    """
    quote, note = " ".join(comment[0].split()), comment[1].strip()
    refuse_ci(runtime)
    if not quote or not note:
        hint = "select some words of the text, and say what to change"
        raise UsageError("a comment has words of the text and a note", code="comment-empty", hint=hint)
    _refuse_another(text, file)
    blocks = parse_blocks(split(Outputs(project.root).read(file.path)).body)
    if not any(is_about(block, quote) for block in blocks):
        hint = "copy words of one paragraph, as they are written there"
        raise UsageError("these words are not in the text", code="comment-lost", hint=hint)
    line = Comment(
        item=item,
        text=text,
        quote=quote,
        note=note,
        by=git_identity(project.root),
        at=iso(runtime.wall()),
        source="page",
    )
    with hold_lock(project, runtime):
        approvals.record(Path(project.root), runtime.disk, [line])
    return line


def write_notes(
    project: Project, spec: Spec | None, file: Observed, text: Digest, note: str, *, runtime: Runtime = HERE
) -> str:
    """Write the comments on a text, and a note on the whole text, into the manifest; return the manifest's path.

    They become the input that `review.notes_input` names, so that the next plan generates the text again. If there are
    none, the note with which the text was sent back is used. Raises UsageError if there are no notes, or if the item is
    not a single entry of a manifest. Raises Refused if the text has changed, InputError if the manifests have errors
    with the notes, and what `write_manifest` raises.
    """
    _refuse_another(text, file)
    said = approvals.load(Path(project.root), runtime.disk)
    notes = [f"\u201c{one.quote}\u201d: {one.note}" for one in said.comments_on(text)]
    sent_back = [one.note for one in said.of_text(text) if one.verdict is Verdict.SENT_BACK]
    # Sent back with comments alone, it has their number as its note.
    whole = note.strip() or ("" if notes or not sent_back else sent_back[-1])
    notes += [whole] if whole else []
    if not notes or spec is None or spec.location is None:
        raise UsageError("there are no notes", code="note-missing", hint="say what is to change")
    path = spec.location.file
    before, digest = read_manifest(project, path)
    after = with_input(path, before, spec.id, project.review.notes_input, "\n".join(notes))
    write_manifest(project, path, after, digest, runtime)
    return path


def _refuse_another(text: Digest, file: Observed) -> None:
    if text != text_digest(file.title, file.body):
        raise Refused("its text has changed", code="text-changed", hint="read the present text and try again")


def is_about(block: TextBlock, quote: str) -> bool:
    """Return whether a block of a text contains the words that a comment quotes."""
    return quote in " ".join(block.text.split())


def _left_for_later(inputs: PlanInputs, items: Iterable[Candidate], run: Run | None) -> str:
    """Return a sentence about the items whose front matter must wait for the next apply.

    They have other planned changes. It is empty if there are no such items.
    """
    done = {outcome.id for outcome in run.outcomes} if run is not None else set()
    busy = [
        f"`{item.id}`"
        for item in items
        if item.change is not None and not is_about_front(item.change) and item.id not in done
        if not (item.spec and item.record and item.file) or not has_its_keys(inputs, item.spec, item.record, item.file)
    ]
    shown = ", ".join(busy[:_SHOWN]) + (f" and {len(busy) - _SHOWN:,} more" if len(busy) > _SHOWN else "")
    return f"other changes of {shown} are planned; the front matter follows with `contentops apply`" if busy else ""


def _refuse_past(line: Approval, before: Approvals) -> None:
    """Raise Refused if an earlier decision on the text has a later date than `line`.

    The decision with the later date would count, and `line` would have no effect.
    """
    if late := [one for one in before.of_text(line.text) if one.at > line.at]:
        last = late[-1]
        message = f"`{line.item}`: the last verdict on this text, by `{last.person}`, is dated {last.at}"
        message += f", and now is {line.at}"
        hint = f"set the clock, or delete that line of `{approvals.FILE}`"
        raise Refused(message, code="verdict-in-future", hint=hint)


def _keep_words(project: Project, items: Iterable[Candidate]) -> None:
    """Store the texts of these items in the cache, so that later changes to the texts can be shown.

    Possibly no commit has these texts.
    """
    outputs = Outputs(project.root)
    with open_cache(project, write=True) as cache:
        for document in (split(outputs.read(item.file.path)) for item in items if item.file is not None):
            cache.keep_decided(document.title, document.body)


def _is_id(selector: str) -> bool:
    """Return whether a selector can only be the id of one item, because it has no wildcards and no `+`."""
    return not set(selector) & set("*?[]:{},") and not selector.startswith("+") and not selector.endswith("+")


def refuse_ci(runtime: Runtime) -> None:
    """Raise Refused in CI, where no person reads texts."""
    if in_ci(runtime.environ):
        message = "only a person can approve, and this is CI"
        hint = "`contentops approve --merged` records who approved the merged change"
        raise Refused(message, code="approve-in-ci", hint=hint)


def git_identity(root: str) -> str:
    """Return the person's name and address from git's settings, as `NAME <ADDRESS>`.

    Raises UsageError if git has no name, or if `root` is not in a repository.
    """
    try:
        inside = try_git(root, "rev-parse", "--is-inside-work-tree")
        ended = try_git(root, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitFailed as error:
        raise UsageError(error.message, code="no-identity", hint="approvals record your name from git") from error
    if inside.code:
        hint = "approvals are stored in git: run `git init` and commit the project"
        raise UsageError("the project is not in a git repository", code="no-identity", hint=hint)
    by = ended.text.rpartition(">")[0] + ">"
    address = by.rpartition("<")[2].removesuffix(">")
    if ended.code or not address or by.startswith("<"):
        hint = 'set your name in git: `git config user.name "..."` and `git config user.email "..."`'
        raise UsageError("git does not know who you are", code="no-identity", hint=hint)
    return by


def _text_of(item: Candidate) -> Digest:
    assert item.file is not None
    return text_digest(item.file.title, item.file.body)


def _problems(item: Candidate, decision: Decision, choice: Choice) -> Iterator[Diagnostic]:
    """Yield the reasons why a person's decision on an item's text cannot be recorded."""
    file = item.file
    assert file is not None

    def finding(code: str, message: str, hint: str) -> Diagnostic:
        return Diagnostic(code=code, message=f"`{item.id}`: {message}", hint=hint, location=Location(file.path))

    if file.problem:
        yield finding("unreadable-file", file.problem, "")
        return
    expected = decision.texts.get(item.id)
    if expected is not None and expected != _text_of(item):
        yield finding("text-changed", "its text has changed", "read the present text and decide again")
    if decision.verdict is Verdict.WITHDRAWN:
        return
    if file.hidden:
        hint = "remove them, or shorten the title to 300 characters: an approval is for words that everyone sees"
        yield finding("hidden-characters", "its text has characters that hide or turn words, or a title too long", hint)
    if file.body == NO_TEXT:
        yield finding("empty-text", "its file has no text", "so there is nothing to approve")
    needs_note = item.spec is not None and item.spec.approval.note
    if needs_note and decision.verdict is Verdict.APPROVED and not has_words(decision.note):
        hint = f'say what you checked: `contentops approve {item.id} --note "..."`'
        yield finding("note-missing", "its approval needs a note", hint)
    if file.labelled and decision.verdict is Verdict.APPROVED and item.id not in {*choice.select, *decision.texts}:
        hint = f"write the text, or approve the outline by its name: `contentops approve {item.id}`"
        yield finding("draft-outline", "its text is a draft outline of the bundled server", hint)


def free_steps(project: Project, ids: frozenset[ItemId], runtime: Runtime) -> tuple[Run | None, str]:
    """Update draft marks and disclosures in the items' front matter after decisions on the items' texts.

    Returns the run, or None with the reason why the next apply must make these updates.
    """
    choice = Choice(only=ids, only_front=True)
    try:
        _, run = apply(project, choice, ApplyOptions(), confirm=lambda _: True, emit=lambda _: None, runtime=runtime)
    except ContentopsError as error:
        return None, f"the next apply updates the front matter: {error.message}"
    return run, ""


# ---- `approve --merged`: record who approved, on GitHub, the texts that merged pull requests changed.


class MergedApprovals(Struct, frozen=True, kw_only=True):
    """The approvals recorded from merged pull requests, and the run that then updated the front matter."""

    asked: bool = True
    """Whether GitHub was asked. It is not asked if nothing in the project is about approvals."""
    pulls: tuple[MergedPull, ...] = ()
    lines: tuple[Approval, ...] = ()
    """The new lines of `contentops.approvals`."""
    notes: tuple[str, ...] = ()
    """Why other reviews and texts do not count, each a sentence."""
    run: Run | None = None
    warning: str = ""
    """Why the free steps are left to the next apply, or empty."""


def record_merged(project: Project, *, pause: Callable[[float], None], runtime: Runtime = HERE) -> MergedApprovals:
    """Record the approvals of the pull requests that the pushed commits merge, and update front matter.

    If GitHub does not reply, or its reply cannot be used, nothing is recorded. `pause` waits some seconds before a call
    is tried again. Raises UsageError if the repository, the branch or the token is not known, HostError, GitFailed,
    InputError, LockHeld, StateError.
    """
    root, environ = Path(project.root), runtime.environ
    with hold_lock(project, runtime):
        with open_workspace(project, runtime) as workspace:
            inputs = workspace.plan_inputs(Choice())
            stated = any(spec.approval != NO_APPROVAL for spec in inputs.specs.values())
            if not (stated or inputs.approvals.lines or project.disclosure is not None):
                return MergedApprovals(asked=False)
            texts = dict(_texts(inputs))
        clone = open_clone(project.root, environ, push=False, patience=PATIENCE)
        branch, commits = _pushed(clone, environ)
        github, server = connect(environ, pause=pause), environ.get("GITHUB_SERVER_URL") or "https://github.com"
        pulls = merged_pulls(github, server, branch, commits)
        notes: list[str] = []
        lines = tuple(line for pull in pulls for line in _approved(clone, github, pull, texts, notes))
        approvals.record(root, runtime.disk, lines)
    run, warning = free_steps(project, frozenset(line.item for line in lines), runtime) if lines else (None, "")
    return MergedApprovals(pulls=pulls, lines=lines, notes=tuple(notes), run=run, warning=warning)


class _ItemText(NamedTuple):
    item: ItemId
    path: str
    digest: Digest
    needs_note: bool
    refused: str
    """Why no review of a pull request can approve it; empty if a review can."""


def _texts(inputs: PlanInputs) -> Iterator[tuple[str, _ItemText]]:
    """Yield each path at which an item's file may be, with the text in that file.

    These are the path now, the next path, and the path in the source environment.
    """
    for spec in inputs.specs.values():
        record = inputs.records.get(spec.id)
        source = inputs.source and inputs.source.text(spec, inputs.observe)
        for path in (spec.output, *([record.output] if record else []), *([source.file.path] if source else [])):
            file = inputs.observe(path)
            text = text_digest(file.title, file.body)
            if file.exists and not file.problem and file.body != NO_TEXT and not inputs.approvals.is_approved(text):
                refused = "is a draft outline of the bundled server" if file.labelled else ""
                refused = "has characters that no one sees, or a title too long" if file.hidden else refused
                yield nfc(path), _ItemText(spec.id, file.path, text, spec.approval.note, refused)


def _pushed(clone: Clone, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the pushed branch and the newest commits of the push: at most 100, sorted from old to new."""
    before = commit_before(read_event(environ))
    # Where a run is repeated, or the clone lacks the start of the push, the last commit alone is looked at.
    since = ("rev-list", "--first-parent", "--max-count=100", "HEAD", f"^{before}", "--")
    listed = clone.attempt(*since).text.split() if before else []
    return branch_of(clone, "", environ), listed[::-1] or [clone.run("rev-parse", "--verify", "HEAD^{commit}")]


def _approved(
    clone: Clone, github: GitHub, pull: MergedPull, texts: Mapping[str, _ItemText], notes: list[str]
) -> Iterator[Approval]:
    """Yield the approvals that a pull request's reviewers gave to the texts that it changed.

    The reasons why other reviews and texts do not count are added to `notes`.
    """
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
        elif not (
            said := {by: each for by, each in pull.approvals.items() if has_words(each[1]) or not text.needs_note}
        ):
            notes.append(f"{about}: no review of it has a note, which `{text.item}` needs")
        else:
            approve = partial(Approval, item=text.item, text=text.digest, verdict=Verdict.APPROVED, source=pull.address)
            yield from (approve(by=by, at=at, note=note) for by, (at, note) in said.items())
