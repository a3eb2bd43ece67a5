"""A scene in a repository of git, and clones of it on other machines."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.fakes.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path


def in_git(scene: Scene, message: str) -> None:
    """Commits all there is."""
    git = ("git", "-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", message)):
        subprocess.run([*git, *command], cwd=scene.root, check=True, capture_output=True)


def cloned(scene: Scene, root: Path, *flags: str) -> Scene:
    """The scene on another machine: what git has, and nothing else."""
    subprocess.run(["git", "clone", "--quiet", *flags, f"file://{scene.root}", root], check=True, capture_output=True)
    settings = (root / "contentops.yaml").read_text(encoding="utf-8")
    made = Scene(root, scene.api, timeline=scene.timeline)
    made.write("contentops.yaml", settings)
    assert not (root / ".contentops").exists()
    return made
