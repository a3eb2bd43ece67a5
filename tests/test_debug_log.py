"""`CONTENTOPS_DEBUG`: what went out and came back, without a word that must not be written down."""

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Build, Run
from tests.serving import served

LOG = {"CONTENTOPS_DEBUG": "debug.log"}
MANIFEST = "items: [{id: welcome, template: blog_article_generator, style: general_blog, inputs: {topic: Secretive plans, target_audience: readers}}]\n"


@pytest.fixture
def site(project: Build, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project with one item, on a server that insists on a key; and the environment that has the key."""
    with served(tmp_path, key="wz-key-1234567890") as address:
        settings = f'version: 1\nproject: x\napi: {{base_url: "{address}/v1", requests_per_minute: 6000}}\n'
        root = project({"contentops.yaml": settings, "content/a.yaml": MANIFEST}, at="site")
        yield root, {"WRITERZROOM_API_KEY": "wz-key-1234567890", "WRITERZROOM_USER_ID": "ann.of.acme"}


def lines(path: Path) -> list[dict[str, Any]]:
    """The log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_request_of_an_apply_is_logged_without_secrets(
    invoke: Run, site: tuple[Path, dict[str, str]], processes: None
) -> None:
    """Method, path, status, time and sizes; a submit and its polls carry our request id."""
    root, env = site
    ended = invoke("apply", "--yes", cwd=root, env={**env, **LOG})
    assert ended.code == 0, ended.stderr
    found = lines(root / "debug.log")
    (submit,) = [one for one in found if (one["method"], one["path"]) == ("POST", "/v1/generate")]
    assert (submit["status"], submit["error"]) == (202, "")
    assert submit["sent"] > 100 < submit["received"]
    assert submit["ms"] >= 0
    record = invoke("show", "welcome", "--json", cwd=root).json["record"]
    assert submit["request_id"] == record["request_id"]
    text = (root / "debug.log").read_text()
    for secret in (*env.values(), "Secretive", "Bearer", "127.0.0.1"):
        assert secret not in text


def test_every_command_that_talks_to_a_server_has_a_log(
    invoke: Run, site: tuple[Path, dict[str, str]], processes: None
) -> None:
    """Each asks at least once."""
    root, env = site
    for command in ("stats", "doctor", "catalog pull", "content list", "content get x"):
        invoke(*command.split(), cwd=root, env={**env, "CONTENTOPS_DEBUG": "../debug.log"})
        assert lines(root.parent / "debug.log"), command
        (root.parent / "debug.log").unlink()


def test_a_server_that_is_not_there_has_a_line_too(invoke: Run, project: Build) -> None:
    """What went wrong stands in place of a status."""
    root = project({"contentops.yaml": 'version: 1\nproject: x\napi: {base_url: "http://127.0.0.1:9/v1"}\n'})
    invoke("doctor", cwd=root, env=LOG)
    first = lines(root / "debug.log")[0]
    assert (first["status"], first["error"]) == (None, "ConnectError")


@pytest.mark.parametrize("name", ["contentops.lock", "content/a.yaml", "no/folder.log"])
def test_a_log_takes_the_place_of_nothing_else(invoke: Run, project: Build, name: str) -> None:
    """It is refused before anything is sent."""
    root = project({"contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n", "content/a.yaml": MANIFEST})
    ended = invoke("apply", "--yes", cwd=root, env={"CONTENTOPS_DEBUG": name})
    assert (ended.code, "hint: choose another file for `CONTENTOPS_DEBUG`" in ended.stderr) == (1, True)
    assert not (root / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of POSIX")
def test_a_log_is_its_owners(invoke: Run, project: Build) -> None:
    """Names of contents and jobs are no one else's business."""
    root = project({"contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n"})
    invoke("stats", cwd=root, env=LOG)
    assert stat.S_IMODE((root / "debug.log").stat().st_mode) == 0o600
