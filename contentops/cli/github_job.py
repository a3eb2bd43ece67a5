"""Writes annotations, the job's page and the step's outputs, if a command runs in a job of GitHub Actions."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from contentops.ci.runner import has_base
from contentops.cli import terminal
from contentops.errors import ContentopsError, Diagnostic
from contentops.model import Note, Plan, Project, Run
from contentops.reporting.diagnostics import annotation_lines, outputs

SUMMARY_ROOM = 500_000
"""The most bytes of a plan on the job's page, which has room for 1 MiB per step."""


def annotate(findings: Sequence[Diagnostic], directory: str) -> None:
    """Mark the findings in the files of the pull request, if a GitHub runner runs the command. It never fails."""
    if not findings or not terminal.read_by_runner():
        return
    folder = project_folder(directory)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("".join(f"{line}\n" for line in annotation_lines(findings, folder=folder)))
        sys.stderr.flush()


def project_folder(directory: str) -> str:
    """Return the project's folder relative to GitHub's checkout.

    It is empty if the project is the checkout itself, or is outside of it.
    """
    from pathlib import Path  # start-up: most commands run where there is no runner

    from contentops.manifests.root import find_root

    with contextlib.suppress(ContentopsError, ValueError, OSError):
        root = Path(find_root(directory)).resolve()
        folder = root.relative_to(os.path.realpath(os.environ.get("GITHUB_WORKSPACE", ""))).as_posix()
        return "" if folder == "." else folder
    return ""


def changed_by_review(project: Project) -> tuple[tuple[Note, ...], frozenset[str]]:
    """Return notes on the settings that a pull request changes, and the paths of the texts that it changes."""
    if not has_base(os.environ):
        return (), frozenset()
    from contentops.ci import history

    return history.settings_notes(project, os.environ), history.changed_texts(project.root, os.environ)


def report_plan(plan: Plan) -> None:
    """Write a plan to the page of the GitHub job, and its numbers to the outputs of the step."""

    def page() -> str:
        from contentops.reporting.plan_markdown import plan_markdown

        return plan_markdown(plan, limit=SUMMARY_ROOM) + "\n"

    _append("GITHUB_STEP_SUMMARY", page)
    report_outputs(outputs(plan))


def report_outputs(values: Mapping[str, str]) -> None:
    """Write one-line values to the outputs of the GitHub step. Outside of a workflow, this does nothing."""
    _append("GITHUB_OUTPUT", lambda: "".join(f"{name}={value}\n" for name, value in values.items()))


def report_run(run: Run) -> None:
    """Write the result of a run to the page of the GitHub job."""
    from contentops.reporting.run import run_markdown  # start-up: a plan has no run

    _append("GITHUB_STEP_SUMMARY", lambda: run_markdown(run) + "\n")


def _append(variable: str, text: Callable[[], str]) -> None:
    """Append text to the file that a GitHub runner names in `variable`. Warn if it cannot be written."""
    path = os.environ.get(variable)
    if not path or not terminal.read_by_runner():
        return
    from pathlib import Path  # start-up: the same

    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text())
    except OSError as error:
        terminal.report(f"warning[github]: the file in `{variable}` cannot be written: {error.strerror or error}")
