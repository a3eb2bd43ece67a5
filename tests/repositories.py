"""A harness in a repository of git, and clones of it on other machines."""

import subprocess
from pathlib import Path

from tests.fakes.harness import Harness


def in_git(harness: Harness, message: str) -> None:
    """Commits all there is."""
    git = ("git", "-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", message)):
        subprocess.run([*git, *command], cwd=harness.root, check=True, capture_output=True)


def cloned(harness: Harness, root: Path, *flags: str) -> Harness:
    """The harness on another machine: what git has, and nothing else."""
    subprocess.run(["git", "clone", "--quiet", *flags, f"file://{harness.root}", root], check=True, capture_output=True)
    settings = (root / "contentops.yaml").read_text(encoding="utf-8")
    made = Harness(root, harness.api, timeline=harness.timeline)
    made.write("contentops.yaml", settings)
    assert not (root / ".contentops").exists()
    return made
