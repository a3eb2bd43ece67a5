"""`commit` commits jobs, lock and outputs, and pushes them to a branch; it never forces a push.

The jobs are in a commit of their own, before the results. The results are the outputs that the lock's records have now
or had in the last commit, if an apply made their texts or the server has them. The lock, `contentops.approvals`, and
the rules for these files in `.gitattributes` are committed too. Other changes in the clone, and commits of a person,
are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from msgspec import Struct, structs

from contentops.atomic_io import Disk
from contentops.ci.git import PATIENCE, REMOTE, Clone, GitFailed, run_git
from contentops.ci.push import (
    Messages,
    ResultTree,
    Target,
    alone,
    branch_of,
    changed_files,
    follow,
    look_ahead,
    make_commits,
    open_clone,
    push,
    refuse_unfinished,
    refuse_unfit_lock,
    result_tree,
    uncommitted,
)
from contentops.ci.results import (
    approvals_at,
    jobs_at,
    lock_at,
    recorded_outputs,
    requests_of,
    state_of,
)
from contentops.ci.runner import run_name, run_page
from contentops.errors import Refused, StateError, UsageError
from contentops.model import Approval, Project, State
from contentops.operations.opening import HERE, Runtime, open_store, read_state
from contentops.operations.workspace import hold_lock
from contentops.reporting.commit_message import SKIP, commit_message, new_texts
from contentops.state import lock as locks
from contentops.state.lock import Lock
from contentops.state.state_dir import lock_name

# ---- `commit`.


class CommitOptions(Struct, frozen=True, kw_only=True):
    """The options that say what a commit contains and where it is pushed.

    If `branch` is empty, it is the one that is checked out.
    """

    branch: str = ""
    push: bool = True
    skip: bool = True
    """Whether the commit is marked to start no workflow."""
    edits: bool = False
    """Whether outputs that a person edited or removed are committed too."""
    direct: bool = False
    """Whether new texts too are pushed to the branch itself; by default, to a separate one for a pull request."""
    apart: bool = False
    """Whether everything goes to a separate branch, for a pull request."""
    shown: str = ""
    """The tree of the `CommitContents` that the person saw; another tree is refused. Empty allows any."""
    patience: float = PATIENCE
    """Seconds that a call of the remote may take."""


class CommitReport(Struct, frozen=True, kw_only=True):
    """The result of `commit`: the commit, and the branch to which it was pushed.

    `commit` is empty if nothing had changed.
    """

    commit: str = ""
    message: str = ""
    files: tuple[str, ...] = ()
    """The committed files; empty where the branch had the results already."""
    target: str = ""
    """The branch to push to; empty without a push."""
    branch: str = ""
    """The branch of the remote that has the commit, or empty."""
    why: str = ""
    """Why `branch` is not `target`, or empty."""
    attempts: int = 0
    stays: bool = False
    """Whether the clone could not be moved to the pushed commit."""
    ignored: tuple[str, ...] = ()
    """Outputs that git ignores, or that are in another repository."""
    edited: tuple[str, ...] = ()
    """Outputs that a person edited or removed, and that were not committed."""
    texts: tuple[str, ...] = ()
    """The outputs with a new text, where those go to a separate branch."""
    others: int = 0
    """How many other changed files were left alone."""

    @property
    def subject(self) -> str:
        """Return the first line of the commit message."""
        return self.message.partition("\n")[0]


def commit(
    project: Project,
    options: CommitOptions,
    *,
    pause: Callable[[float], None],
    runtime: Runtime = HERE,
) -> CommitReport:
    """Commit the files that runs of `apply` have written, and push the commit.

    `pause` waits some seconds between two attempts. Raises UsageError outside a repository, on no branch, or without
    the remote `origin`. Raises Refused during a merge, if something is staged or not pushed, or if git ignores lock or
    jobs or gives them to LFS. Raises LockHeld while another command works, and StateError if lock or jobs cannot be
    read. Raises GitFailed if git refuses the commit, and NotPublished if it cannot be pushed.
    """
    with hold_lock(project, runtime):
        clone = _open(project, options, runtime.environ)
        with alone(clone):
            refuse_unfinished(clone)
            branch = branch_of(clone, options.branch, runtime.environ) if options.push else ""
            target = _target(project, branch, runtime.environ) if options.push else None
            with open_store(project, runtime, write=True) as store:
                # Whatever became of the file since, no order that the last commit has is taken out of it.
                store.see_jobs(jobs_at(project.root, clone.head(), project.environment, clone.extra))
                # A killed apply left facts in the journal alone, and only lock and jobs are committed.
                store.checkpoint()
            refuse_unfit_lock(project.root, project.environment)
            return _commit(project, clone, options, target, run_page(runtime.environ), pause)


class CommitContents(Struct, frozen=True, kw_only=True):
    """The commit that `contentops commit` would make now: its files, its git tree and its branch."""

    tree: str
    """The id of the git tree with these files and their bytes."""
    branch: str
    """The branch that is checked out; empty: none."""
    remote: bool
    """Whether the clone has the remote `origin`."""
    files: tuple[str, ...]
    texts: tuple[str, ...]
    """The outputs with a new text."""
    said: tuple[Approval, ...]
    """The new verdicts."""
    message: str
    ignored: tuple[str, ...]
    others: int


def contents(project: Project, options: CommitOptions, *, runtime: Runtime = HERE) -> CommitContents:
    """Return what `commit` would commit now, without asking the server or waiting for other commands.

    Raises what `commit` raises.
    """
    clone = _open(project, structs.replace(options, push=False), runtime.environ)
    refuse_unfinished(clone)
    refuse_unfit_lock(project.root, project.environment)
    found = _found(project, clone, options)
    try:
        branch = branch_of(clone, options.branch, runtime.environ)
    except UsageError:
        branch = ""
    return CommitContents(
        tree=found.results.tree,
        branch=branch,
        remote=REMOTE in clone.run("remote").split("\n"),
        files=found.results.files,
        texts=new_texts(found.earlier, found.now),
        said=found.said,
        message=_message(project, found, ""),
        ignored=found.report.ignored,
        others=found.report.others + len(found.report.edited),
    )


class _Committable(NamedTuple):
    """The results of runs to commit, the state before and after them, and new decisions on texts."""

    results: ResultTree
    report: CommitReport
    earlier: State
    now: State
    said: tuple[Approval, ...]


def _found(project: Project, clone: Clone, options: CommitOptions) -> _Committable:
    lock, now = _lock_on_disk(project), read_state(project)
    before = lock_at(project.root, clone.head(), project.environment, clone.extra)
    earlier = state_of(before, jobs_at(project.root, clone.head(), project.environment, clone.extra))
    outputs = recorded_outputs(lock, before, now.jobs)
    changed = changed_files(clone, project.environment, outputs, lock, edits=options.edits)
    results = result_tree(clone, project.environment, changed.results)
    ignored, gone = uncommitted(clone, outputs, results.tree, changed.edited)
    edited = tuple(sorted((*changed.edited, *(() if options.edits else gone))))
    report = CommitReport(ignored=ignored, edited=edited, others=changed.others)
    return _Committable(results, report, earlier, now, _said(clone, results))


def _message(project: Project, found: _Committable, run: str) -> str:
    return commit_message(found.earlier, found.now, environment=project.environment, run=run, said=found.said)


def _commit(
    project: Project,
    clone: Clone,
    options: CommitOptions,
    target: Target | None,
    run: str,
    pause: Callable[[float], None],
) -> CommitReport:
    """Commit the results of runs, and push the commit.

    Without a `target`, nothing is pushed. `run` is the address of the page of the CI run.
    """
    found = _found(project, clone, options)
    results, report = found.results, structs.replace(found.report, target=target.branch if target else "")
    if options.shown not in ("", results.tree):
        raise Refused("nothing was sent: the files changed", code="commit-changed", hint="look at them again")
    if not results.changes:
        return report
    own = _message(project, found, run)
    if target is None:
        return _commit_locally(clone, results, report, own)
    if not options.direct:
        texts = new_texts(found.earlier, found.now)
        report = structs.replace(report, texts=texts)
        target = structs.replace(target, review=options.apart or bool(texts))
    messages = Messages(f"{own}\n{SKIP}\n" if options.skip else own, own)
    pushed = push(clone, target, results, messages, pause=pause)
    return structs.replace(
        report,
        commit=pushed.commit,
        message=messages.own if pushed.why else messages.meant,
        files=results.files if pushed.new or pushed.why else (),
        branch=pushed.branch,
        why=pushed.why,
        attempts=pushed.attempts,
        # A commit on a separate branch is not a part of this one yet.
        stays=not pushed.why and not follow(clone, results, pushed.commit),
    )


def _said(clone: Clone, results: ResultTree) -> tuple[Approval, ...]:
    """Return the new decisions on texts in the results, or none if the last commit's decisions are unreadable."""
    if results.approvals not in results.changes:
        return ()
    try:
        before, after = (approvals_at(clone.root, commit, clone.extra) for commit in (results.head, results.tree))
    except StateError:
        return ()
    return tuple(set(after.lines) - set(before.lines))


def _commit_locally(clone: Clone, results: ResultTree, report: CommitReport, message: str) -> CommitReport:
    made = make_commits(clone, results.jobs, results.tree, results.head, message)
    if not follow(clone, results, made):
        raise GitFailed(
            "the branch could not be moved to the commit", hint="check whether another git process is running here"
        )
    return structs.replace(report, commit=made, message=message, files=results.files)


_GITHUB: Final = re.compile(r"(?:https://|ssh://git@|git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def pull_request_page(project: Project, done: CommitReport) -> str:
    """Return the address of the GitHub page where a person can open a pull request for pushed results.

    It is empty if the remote is not on GitHub.
    """
    found = _GITHUB.fullmatch(run_git(project.root, "remote", "get-url", "--", REMOTE).strip())
    return f"https://github.com/{found[1]}/compare/{quote(f'{done.target}...{done.branch}')}?expand=1" if found else ""


def check_waiting(project: Project, options: CommitOptions, *, runtime: Runtime = HERE) -> None:
    """Raise an error if a separate branch has results of an earlier run that are not merged yet.

    It is the error of `look_ahead`. Raises UsageError if no branch is known.
    """
    environ = runtime.environ
    clone = _open(project, options, environ)
    target = _target(project, branch_of(clone, options.branch, environ), environ)
    look_ahead(clone, target, requests_of(read_state(project)))


def _open(project: Project, options: CommitOptions, environ: Mapping[str, str]) -> Clone:
    return open_clone(project.root, environ, push=options.push, patience=options.patience)


def _target(project: Project, branch: str, environ: Mapping[str, str]) -> Target:
    return Target(branch=branch, project=project.name, environment=project.environment, run=run_name(environ))


def _lock_on_disk(project: Project) -> Lock:
    name = lock_name(project.environment)
    data = Disk().read(Path(project.root) / name)
    return Lock() if data is None else locks.read(data, name)
