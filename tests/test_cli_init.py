"""`contentops init`."""

from pathlib import Path

import pytest

from contentops.errors import OutputError, Refused
from contentops.operations.init import project_files
from tests.processes import Scripted
from tests.running import Run

FILES = [
    "contentops.yaml", "content/articles.yaml", "data/cities.csv", "schemas/project.schema.json",
    "schemas/manifest.schema.json", ".gitignore", ".gitattributes",
]  # fmt: skip
NAMES = ("contentops*.lock", "contentops*.jobs", "contentops.approvals")
RULES = "".join(f"{name} text eol=lf merge=union\n" for name in NAMES)


def test_init_writes_a_project(invoke: Run, tmp_path: Path) -> None:
    """Every file is named, and the next command."""
    ended = invoke("init", "blog")
    assert ended.code == 0
    assert ended.stdout == (
        "".join(f"  + {name}\n" for name in FILES)
        + "\nA project of 4 items is ready in `blog`; it needs no account and costs nothing.\n"
        "Next: `contentops -C blog plan`, then `contentops -C blog apply`\n"
    )
    root = tmp_path / "blog"
    assert all((root / name).is_file() for name in FILES)
    assert 'project: "blog"\n' in (root / "contentops.yaml").read_text()
    assert (root / ".gitattributes").read_text() == RULES


def test_init_keeps_what_is_there(invoke: Run, tmp_path: Path) -> None:
    """A file in the way is named, and nothing at all is written."""
    (tmp_path / "contentops.yaml").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cities.csv").symlink_to("nowhere")
    ended = invoke("init")
    assert ended.code == 4
    assert ended.stderr == (
        "error[exists]: `contentops.yaml`, `data/cities.csv` exist already\n"
        "hint: nothing was written; choose another folder\n"
    )
    assert (tmp_path / "contentops.yaml").read_text() == "mine"
    assert not (tmp_path / "content").exists()


@pytest.mark.parametrize("link", ["data", "schemas", ".gitignore", ".gitattributes"])
@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_init_writes_through_no_link(invoke: Run, tmp_path: Path, link: str, target: str) -> None:
    """It is named, and neither the project nor what it leads to has a file more."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "there").mkdir(parents=True)
    root.mkdir()
    (root / link).symlink_to(outside / target)
    ended = invoke("init", "--name", "x", cwd=root)
    assert (ended.code, ended.stderr.splitlines()[0]) == (4, f"error[symlink]: `{link}` is a link")
    assert [path.name for path in (*root.iterdir(), *outside.rglob("*"))] == [link, "there"]


def test_init_adds_to_git_files_once(tmp_path: Path) -> None:
    """Existing lines stay, missing ones follow, and nothing is written twice."""
    (tmp_path / ".gitignore").write_text("*.log\n.env")
    (tmp_path / ".gitattributes").write_text(RULES)
    written = project_files(tmp_path, name="x").write()
    assert ".gitignore" in written
    assert ".gitattributes" not in written
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.env\n.contentops/\n"


@pytest.mark.parametrize("name", ["", "-x", 'a"b', "a\nb", "x" * 101], ids=["empty", "dash", "quote", "line", "long"])
def test_init_refuses_names_that_break_the_file(name: str, tmp_path: Path) -> None:
    """A name that is no word is refused before anything is written."""
    with pytest.raises(Refused, match="cannot be a project's name"):
        project_files(tmp_path, name=name).write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("folder", "name"), [("My Blog!", "My-Blog"), ("漢字", "content")])
def test_init_makes_a_name_of_the_folder(invoke: Run, tmp_path: Path, folder: str, name: str) -> None:
    """Characters that a name cannot have become dashes; a folder without any gives a plain word."""
    assert invoke("init", folder).code == 0
    assert f'project: "{name}"\n' in (tmp_path / folder / "contentops.yaml").read_text()


def test_a_disk_that_refuses_is_a_clear_error(tmp_path: Path) -> None:
    """A file where a folder is needed is told as what it is."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        OutputError,
        match=r"cities\.csv` cannot be written: `data` is a file, .*; written before that: `contentops\.yaml`, ",
    ):
        project_files(tmp_path, name="x").write()


MODELS = b'{"object": "list", "data": [{"id": "nomic-embed-text"}, {"id": "llama3.2"}, {"id": "qwen"}]}'


@pytest.mark.parametrize(("answer", "took"), [
    (MODELS, "llama3.2"), (b'{"data": []}', ""), (b'{"data": [{"id": "a\\u001b[2J"}]}', ""), (b"<html>", ""),
    (b'{"data": {"id": 1}}', ""), (b"[" * 100_000, ""),
], ids=["models", "none", "hostile", "another server", "another shape", "deep"])  # fmt: skip
def test_init_finds_the_model_that_runs_here(invoke: Run, tmp_path: Path, answer: bytes, took: str) -> None:
    """The first one that writes; it says which, and where none answers, nothing is written."""
    with Scripted(lambda *_: (200, {}, answer)) as server:
        env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "secret"}
        ended = invoke("init", "blog", "--model", env=env)
    assert [(path, "secret" in str(headers)) for _, path, headers, _ in server.seen] == [("/v1/models", False)]
    if took:
        assert f"the model `{took}` writes its texts" in ended.stdout
        assert f'model: "{took}"' in (tmp_path / "blog/contentops.yaml").read_text()
    else:
        assert (ended.code, "error[no-running-model]" in ended.stderr, [*tmp_path.iterdir()]) == (64, True, [])


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/v1", "https://api.example.com/v1", "nonsense", "http://[::1/v1"]
)
def test_init_asks_no_other_machine_for_models(invoke: Run, tmp_path: Path, address: str) -> None:
    """A model of a provider costs money: it is named."""
    ended = invoke("init", "blog", "--model", env={"OPENAI_BASE_URL": address})
    assert (ended.code, "--model NAME" in ended.stderr, [*tmp_path.iterdir()]) == (64, True, [])
