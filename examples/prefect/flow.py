"""contentops as a task of Prefect, tried again only where its exit code says so.

python flow.py FOLDER [SELECTOR]
"""

from __future__ import annotations

import subprocess
import sys

from prefect import flow, get_run_logger, task

MEANS = {
    1: "an error: what it said names the place",
    3: "some items failed or are not finished, or the ledger was away",
    4: "refused: a guard, another apply, or a missing approval; a person decides",
    5: "paused: the account is used up for now, or the deadline came",
    64: "the command line is wrong",
    130: "interrupted",
}
AGAIN = {3, 5, 130}
"""The exit codes after which the same command goes on where it stopped, and pays for nothing twice."""
DELAYS = [30.0, 120.0, 600.0, 1800.0]
"""Seconds before each further try."""


class Ended(RuntimeError):
    """A command that ended with another code than 0."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"`{command}` ended with {code}: {MEANS.get(code, 'killed, or unknown')}")
        self.code = code


def worth_another_try(_task: object, _run: object, state: object) -> bool:
    """Whether the command may simply run again: also where a signal killed it, for what was paid for is known."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, Ended) or error.code in AGAIN or error.code < 0


@task(retries=len(DELAYS), retry_delay_seconds=DELAYS, retry_condition_fn=worth_another_try)
def contentops(*words: str) -> None:
    """One command to its end. The key and the ledger come from the environment of whoever runs the task."""
    command = ["contentops", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    get_run_logger().info("%s\n%s", " ".join(command), done.stdout)
    if done.returncode:
        raise Ended(" ".join(command), done.returncode)


@flow
def content(folder: str, selector: str = "") -> None:
    """What the manifests in `folder` ask for becomes files there; `selector` narrows it, as in `--select`."""
    chosen = ["--select", selector] if selector else []
    contentops("-C", folder, "apply", "--yes", *chosen)


if __name__ == "__main__":
    content(*sys.argv[1:3])
