"""The manifests for Kubernetes: the API takes them, their pods may do little, and their commands work together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.clones import WHO, manifest, posix
from tests.processes import KEY, PATIENCE, PROJECT, Served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.running import Build

EXAMPLE = Path(__file__).parents[1] / "examples/kubernetes"
MANIFESTS = sorted(path.stem for path in EXAMPLE.glob("*.yaml"))
pytestmark = posix


def resource(name: str) -> Any:
    """What a file declares."""
    return yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text("utf-8"))


def pod(name: str) -> Any:
    """The pod of a Deployment, a Job or a CronJob."""
    spec = resource(name)["spec"]
    return spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_api_takes_every_manifest(name: str) -> None:
    """Each fits the schema of its kind, with no key that it does not know; skipped where no schemas are installed."""
    schemas = pytest.importorskip("kubernetes_validate", reason="no schemas: `pip install kubernetes-validate`")
    schemas.validate(resource(name), schemas.latest_version(), strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_pod_may_do_no_more_than_it_needs(name: str) -> None:
    """No root, no rights, no token of the cluster, nothing but its own volumes to write in, a bound for its memory."""
    found = pod(name)
    (container,) = found["containers"]
    own = container["securityContext"]
    assert found["securityContext"]["runAsNonRoot"]
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert not found["automountServiceAccountToken"]
    assert all("emptyDir" in volume for volume in found.get("volumes", ()))
    assert container["resources"]["limits"]["memory"]
    secret = {"CONTENTOPS_LEDGER", "WRITERZROOM_API_KEY", "REPOSITORY"}
    for variable in container["env"]:
        assert ("value" in variable) == (variable["name"] not in secret)


def test_the_image_is_built_of_what_there_is() -> None:
    """Every path that the Dockerfile copies is in the checkout."""
    lines = [line.split() for line in (EXAMPLE / "Dockerfile").read_text("utf-8").splitlines()]
    paths = [path for line in lines if line[:1] == ["COPY"] for path in line[1:-1]]
    assert [path for path in paths if not (EXAMPLE.parents[1] / path).exists()] == []


# --- the commands ----------------------------------------------------------------------------------------------


class Node:
    """Runs the container of a manifest here, with the variables it states and no others but PATH."""

    def __init__(self, folder: Path, values: Mapping[str, str]) -> None:
        self.folder, self._values = folder, values
        shim = folder / "bin/contentops"
        shim.parent.mkdir(parents=True)
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m contentops "$@"\n')
        shim.chmod(0o755)

    def run(self, name: str) -> str:
        """What it says; it has to end well, and to have written nowhere but in its volumes."""
        (container,) = pod(name)["containers"]
        values = {variable["name"]: variable.get("value", "") for variable in container["env"]}
        values |= {name: self._values[name] for name in values if name in self._values}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        root = self.folder / name
        root.mkdir()
        done = subprocess.run(
            # The image's entry point is the program.
            [*container.get("command", ["contentops"]), *container["args"]],
            cwd=root,
            env={**values, **kept},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout
        assert list(root.iterdir()) == []
        return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """Its jobs take a while."""
    with Served(tmp_path / "store.db", stage_seconds=0.1) as served:
        yield served


@pytest.fixture
def remote(tmp_path: Path, project: Build, server: Served) -> Path:
    """A repository of three items, which takes pushes."""
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": manifest("a", "b", "c"),
    }
    root = project(files, at="site")
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "--message=All"]):
        subprocess.run(["git", *words], cwd=root, check=True, env={**os.environ, **WHO})
    bare = tmp_path / "site.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(root), str(bare)], check=True)
    return bare


def test_migrate_and_apply_do_it_together(tmp_path: Path, empty_database: str, server: Served, remote: Path) -> None:
    """Tables, then files in git."""
    work = tmp_path / "volume"
    work.mkdir()
    values = {
        "CONTENTOPS_LEDGER": empty_database,
        "WRITERZROOM_API_KEY": KEY,
        "CONTENTOPS_SERVERS": server.base_url,
        "REPOSITORY": str(remote),
        "WORK": str(work),
        "HOME": str(work),
    }
    node = Node(tmp_path / "node", values)
    assert "Made the tables" in node.run("migrate")
    assert "3 done" in node.run("apply")
    listed = ["git", "ls-tree", "-r", "--name-only", "main"]
    files = subprocess.run(listed, cwd=remote, check=True, capture_output=True, text=True).stdout.split()
    assert [name for name in files if name.startswith("out/")] == ["out/a.md", "out/b.md", "out/c.md"]
    assert server.charges() == ["a", "b", "c"]
