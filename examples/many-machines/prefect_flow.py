"""Applies a project as tasks of Prefect, each with its part of the items; each pushes what it has made.

python prefect_flow.py REPOSITORY FOLDER [SHARDS]

The key and the ledger come from the environment of whoever runs the tasks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefect import flow, get_run_logger, task, unmapped

SCRIPT = Path(__file__).with_name("apply.sh")
FINAL = {1, 64}
"""The exit codes that only a person can change: after all others, the same command goes on where it stopped."""
DELAYS = [30.0, 120.0, 600.0, 1800.0]
"""Seconds before each further try."""


class Ended(RuntimeError):
    """A command that ended with another code than 0."""

    def __init__(self, shard: str, code: int) -> None:
        super().__init__(f"the apply of shard {shard} ended with {code}")
        self.code = code


def worth_another_try(_task: object, _run: object, state: object) -> bool:
    """Whether the command may simply run again, also where a signal killed it."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, Ended) or error.code not in FINAL


@task(retries=len(DELAYS), retry_delay_seconds=DELAYS, retry_condition_fn=worth_another_try)
def apply(repository: str, folder: str, shard: str) -> None:
    """Apply one part in its own clone."""
    command = ["sh", str(SCRIPT), repository, f"{folder}/{shard.replace('/', '-of-')}", shard]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    get_run_logger().info("shard %s\n%s", shard, done.stdout)
    if done.returncode:
        raise Ended(shard, done.returncode)


@flow
def content(repository: str, folder: str, shards: int = 4) -> None:
    """Apply every part at once, and fail if one of them does."""
    parts = [f"{number}/{shards}" for number in range(1, shards + 1)]
    apply.map(unmapped(repository), unmapped(folder), parts).result()


if __name__ == "__main__":
    content(*sys.argv[1:3], *map(int, sys.argv[3:4]))
