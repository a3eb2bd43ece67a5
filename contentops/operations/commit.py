"""`commit`: commit jobs, lock and outputs, and push them without force, to a separate branch or to the branch itself.

Committed are the jobs, in a commit of their own before the results; the paths that records of the lock own now or owned
in the last commit, with texts that an apply made or the server took; the lock, `contentops.approvals`, and the rules of
these files in `.gitattributes`. Other changes in the clone, and commits of a person, are left alone.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.atomic_io import Disk
from contentops.ci.git import PATIENCE, GitFailed
from contentops.ci.push import (
    Messages,
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
    lock_name,
    recorded_outputs,
    requests_of,
    state_of,
)
from contentops.ci.runner import run_name, run_page
from contentops.errors import StateError
from contentops.operations.opening import HERE, Runtime, open_store, read_state
from contentops.operations.workspace import hold_lock
from contentops.reporting.commit_message import commit_message, new_texts
from contentops.state import lock as locks
from contentops.state.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.ci.git import Clone
    from contentops.ci.push import Pushed, ResultTree
    from contentops.model import Approval, Project


class CommitOptions(Struct, frozen=True, kw_only=True):
    """Where a commit is pushed, and what it contains. `branch` empty: the one that is checked out."""

    remote: str = "origin"
    branch: str = ""
    push: bool = True
    skip: bool = True
    """Whether the commit is marked to start no workflow."""
    edits: bool = False
    """Whether outputs that a person edited or removed are committed too."""
    direct: bool = False
    """Whether new texts too are pushed to the branch itself; by default, to a separate one for a pull request."""
    patience: float = PATIENCE
    """Seconds that a call of the remote may take."""


class CommitReport(Struct, frozen=True, kw_only=True):
    """What was committed and where it was pushed. `commit` is empty where there was nothing to commit."""

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
        """The first line of the message."""
        return self.message.partition("\n")[0]


def commit(
    project: Project,
    options: CommitOptions,
    *,
    pause: Callable[[float], None],
    runtime: Runtime = HERE,
) -> CommitReport:
    """Commit what applies have made, and push it. `pause` waits some seconds between two attempts.

    Raises UsageError outside a repository, on no branch, or for an unknown remote; Refused in the middle of a merge,
    where something is staged or not pushed, and for a lock or jobs that git ignores or gives to LFS; LockHeld while
    another command works; StateError for a lock or jobs that cannot be read; GitFailed where git refuses the commit;
    NotPublished where it could be pushed nowhere.
    """
    with hold_lock(project, runtime):
        clone = _open(project, options, runtime.environ)
        branch = branch_of(clone, options.branch, runtime.environ) if options.push else ""
        target = _target(project, branch, runtime.environ) if options.push else None
        write = functools.partial(commit_message, environment=project.environment, run=run_page(runtime.environ))
        with alone(clone):
            refuse_unfinished(clone)
            with open_store(project, runtime, write=True) as store:
                # Whatever became of the file since, no order that the last commit has is taken out of it.
                store.see_jobs(jobs_at(project.root, clone.head(), project.environment, clone.extra))
                # A killed apply left facts in the journal alone, and only lock and jobs are committed.
                store.checkpoint()
            refuse_unfit_lock(project.root, project.environment)
            return _commit(project, clone, options, target, write, pause)


def _commit(
    project: Project,
    clone: Clone,
    options: CommitOptions,
    target: Target | None,
    write: Callable[..., str],
    pause: Callable[[float], None],
) -> CommitReport:
    """`target` None: no push."""
    lock, now = _lock_on_disk(project), read_state(project)
    before = lock_at(project.root, clone.head(), project.environment, clone.extra)
    earlier = state_of(before, jobs_at(project.root, clone.head(), project.environment, clone.extra))
    outputs = recorded_outputs(lock, before, now.jobs)
    changed = changed_files(clone, project.environment, outputs, lock, edits=options.edits)
    results = result_tree(clone, project.environment, changed.results)
    ignored, gone = uncommitted(clone, outputs, results.tree, changed.edited)
    report = CommitReport(
        target=target.branch if target else "",
        ignored=ignored,
        edited=tuple(sorted((*changed.edited, *(() if options.edits else gone)))),
        others=changed.others,
    )
    if not results.changes:
        return report
    write = functools.partial(write, said=_said(clone, results))
    own = write(earlier, now, skip=False)
    if target is None:
        return _commit_locally(clone, results, report, own)
    if not options.direct:
        texts = new_texts(earlier, now)
        report, target = structs.replace(report, texts=texts), structs.replace(target, review=bool(texts))
    messages = Messages(write(earlier, now, skip=options.skip), own)
    return _pushed_report(clone, results, report, push(clone, target, results, messages, pause=pause), messages)


def _said(clone: Clone, results: ResultTree) -> tuple[Approval, ...]:
    """Return the verdicts that the results add, none where those of the last commit cannot be read."""
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


def _pushed_report(
    clone: Clone, results: ResultTree, report: CommitReport, pushed: Pushed, messages: Messages
) -> CommitReport:
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


def check_waiting(project: Project, options: CommitOptions, *, runtime: Runtime = HERE) -> None:
    """Raise as `look_ahead` where results of an earlier run wait on a branch, UsageError where no branch is known."""
    environ = runtime.environ
    clone = _open(project, options, environ)
    target = _target(project, branch_of(clone, options.branch, environ), environ)
    look_ahead(clone, target, requests_of(read_state(project)))


def _open(project: Project, options: CommitOptions, environ: Mapping[str, str]) -> Clone:
    return open_clone(project.root, environ, remote=options.remote, push=options.push, patience=options.patience)


def _target(project: Project, branch: str, environ: Mapping[str, str]) -> Target:
    return Target(branch=branch, project=project.name, environment=project.environment, run=run_name(environ))


def _lock_on_disk(project: Project) -> Lock:
    name = lock_name(project.environment)
    data = Disk().read(Path(project.root) / name)
    return Lock() if data is None else locks.read(data, name)
