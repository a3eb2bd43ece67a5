"""Whoever opens a pull request writes what is planned: planning starts nothing, calls no one and looks nowhere else."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = "version: 1\nproject: x\napi: {base_url: local}\ndefaults: {template: blog_article_generator, style: general_blog}\n"
INPUTS = "{topic: T, target_audience: readers}"
WATCH = """\
import json, os, sys
logs = {root: os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT) for root, log in json.loads(sys.argv[1]).items()}
(log, *_) = logs.values()
LOUD = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "urllib.", "pty.")
def hook(event, arguments):
    if event == "open" or event == "sqlite3.connect" or event in ("os.listdir", "os.scandir"):
        name = arguments[0]
        if isinstance(name, (str, bytes)) or hasattr(name, "__fspath__"):
            os.write(log, f"{event}\\t{os.path.abspath(os.fsdecode(name))}\\n".encode("utf-8", "replace"))
    elif event.startswith(LOUD):
        os.write(log, f"{event}\\t{arguments!r}\\n".encode("utf-8", "replace"))
from contentops.__main__ import main
sys.addaudithook(hook)
for root, log in logs.items():
    os.chdir(root)
    for words in sys.argv[2:]:
        main(words.split())
"""
"""Writes down what the interpreter sees the command line do, from the moment it has been loaded, in each project."""

HOSTILE = {
    "plain": {"content/a.yaml": f"items: [{{id: a, inputs: {INPUTS}}}]\n"},
    "data above": {"content/a.yaml": "items: [{id: 'a-{{ each.x }}', for_each: ../secret.csv, inputs: {topic: T}}]\n"},
    "data by its full name": {"content/a.yaml": "items: [{id: 'a-{{ each.x }}', for_each: '@outside@/secret.csv'}]\n"},
    "data through a link": {"content/a.yaml": "items: [{id: 'a-{{ each.x }}', for_each: data/link.csv}]\n"},
    "data on the network": {"content/a.yaml": "items: [{id: 'a-{{ each.x }}', for_each: 'http://127.0.0.1:1/x.csv'}]\n"},
    "data from a command": {"content/a.yaml": "items: [{id: 'a-{{ each.x }}', for_each: '|touch pwned'}]\n"},
    "a linked manifest": {"content/b.yaml": f"items: [{{id: b, inputs: {INPUTS}}}]\n"},
    "manifests above": {"contentops.yaml": SETTINGS + "manifests: ['../*.yaml', '/etc/*', 'content/*.yaml']\n"},
    "an included template": {
        "content/a.yaml": (
            "items:\n  - id: a\n    inputs:\n      target_audience: readers\n"
            "      topic: \"{% include '../secret.csv' %}\"\n      objective: \"{% import '/etc/passwd' as p %}\"\n"
        )
    },
    "a template that reaches out": {
        "content/a.yaml": (
            "items:\n  - id: a\n    inputs:\n      target_audience: readers\n"
            "      topic: \"{{ ''.__class__.__mro__[1].__subclasses__() }}\"\n"
            "      objective: \"{{ lipsum.__globals__.os.popen('touch pwned') }}\"\n"
            '      cta: "{{ cycler.__init__.__globals__ }}"\n'
        )
    },
    "YAML that builds objects": {"content/a.yaml": "items: !!python/object/apply:os.system ['touch pwned']\n"},
    "an output above": {"content/a.yaml": f"items: [{{id: a, output: ../secret.csv, inputs: {INPUTS}}}]\n"},
    "an output through a link": {"content/a.yaml": f"items: [{{id: a, output: out/link.md, inputs: {INPUTS}}}]\n"},
    "an output in a linked folder": {"content/a.yaml": f"items: [{{id: a, output: gone/a.md, inputs: {INPUTS}}}]\n"},
    "a server in the settings": {
        "contentops.yaml": SETTINGS.replace("base_url: local", "base_url: 'https://evil.example/v1'"),
        "content/a.yaml": f"items: [{{id: a, inputs: {INPUTS}}}]\n",
    },
}  # fmt: skip
"""What a pull request could hold."""


def _lines(log: Path) -> list[tuple[str, str]]:
    return [(event, what) for event, _, what in (line.partition("\t") for line in log.read_text("utf-8").splitlines())]


def _watched(logs: Mapping[Path, Path], commands: Sequence[str]) -> None:
    told = json.dumps({str(root): str(log) for root, log in logs.items()})
    command = [sys.executable, "-B", "-c", WATCH, told, *commands]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert b"Traceback" not in said, said.decode()
    assert b"planted" not in said, said.decode()


def _ours() -> tuple[str, ...]:
    """Where the program itself lies: it may load parts of itself when it needs them."""
    places = [sys.prefix, sys.base_prefix, *sys.path, str(ROOT), os.devnull]
    return tuple({str(Path(place).resolve()) for place in places} | {os.devnull})


def _hostile(files: Mapping[str, str], outside: Path) -> Path:
    """A project in a folder with what it must not see, and links to that."""
    root = outside / "site"
    for name in ("secret.csv", "secret.yaml", "secret.md"):
        outside.mkdir(exist_ok=True)
        (outside / name).write_text("x\nplanted\n", encoding="utf-8")
    for folder in ("data", "out", "content"):
        (root / folder).mkdir(parents=True)
    for name, text in {"contentops.yaml": SETTINGS, **files}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text.replace("@outside@", str(outside)), encoding="utf-8")
    (root / "data/link.csv").symlink_to(outside / "secret.csv")
    (root / "out/link.md").symlink_to(outside / "secret.md")
    (root / "content/link.yaml").symlink_to(outside / "secret.yaml")
    (root / "gone").symlink_to(outside)
    return root


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Path]]:
    """Each project, after one process has planned all of them, with the log of it."""
    folder = tmp_path_factory.mktemp("planned")
    made = {
        name: (_hostile(files, folder / str(at)), folder / f"{at}.log")
        for at, (name, files) in enumerate(HOSTILE.items())
    }
    commands = ["validate", "plan --out plan.json", "show plan.json", "plan --check plan.json"]
    _watched(dict(made.values()), commands)
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize("name", HOSTILE)
def test_planning_starts_nothing_and_looks_nowhere_else(
    name: str, planned: Mapping[str, tuple[Path, Path]], processes: None
) -> None:
    """No process, no socket, not even a name looked up; every file that is opened lies in the project, or is our own."""
    root, log = planned[name]
    if (root / "plan.json").exists():
        assert json.loads((root / "plan.json").read_text("utf-8"))["changes"] is not None
    seen = _lines(log)
    assert ("open", str(root / "contentops.yaml")) in seen
    files_of = ("open", "sqlite3.connect", "os.listdir", "os.scandir")
    assert [one for one in seen if one[0] not in files_of] == []
    elsewhere = [what for event, what in seen if not what.startswith((str(root), *_ours()))]
    assert elsewhere == []
    assert not list(root.parent.rglob("pwned"))
