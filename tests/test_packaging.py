"""What people install is whole: the wheel holds what it needs and works where no checkout is. And: excuses are counted."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.running import Completed

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout with what is installed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `contentops` command of a fresh environment that holds the wheel, and borrows its dependencies offline."""
    python = _make_environment(tmp_path_factory.mktemp("env"))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return python.with_name("contentops.exe" if os.name == "nt" else "contentops")


def _make_environment(home: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], timeout=100, check=True)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, timeout=100, check=True).stdout.strip())
    # Only plain folders: the editable install of this checkout hangs on a `.pth` file, which is not followed from here.
    borrowed = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python


@pytest.fixture
def contentops(installed: Path, tmp_path: Path) -> Callable[..., Completed]:
    """Runs the installed command in the test's own folder, with nothing of the checkout in sight."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTHON"))}

    def call(*arguments: str) -> Completed:
        command = [str(installed), *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=100, check=False)
        return Completed(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return call


def test_the_wheel_holds_every_data_file(wheel: Path) -> None:
    """Schemas, the built-in catalog, the starter project and the marker of types are inside; tests are not.

    The metadata say name, version, licence, the Python it needs, and the command.
    """
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "contentops").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    schemas = {f"contentops/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    assert (data | schemas) - names == set()
    assert {"contentops/py.typed", "contentops/server/catalog/templates.json"} <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"contentops"}
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        scripts = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    assert ("\nName: contentops\n" in metadata, "\nLicense-Expression: MIT\n" in metadata) == (True, True)
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "contentops = contentops.__main__:main" in scripts
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_installed_command_is_the_wheel(contentops: Callable[..., Completed], installed: Path) -> None:
    """The version is the checkout's, but the code is not taken from it."""
    from contentops import __version__

    shown = contentops("--version")
    assert (shown.code, shown.stdout.split()) == (0, ["contentops", __version__])
    asked = [str(installed.with_name("python")), "-P", "-c", "import contentops; print(contentops.__file__)"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    where = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=100, check=True).stdout.strip()
    assert Path(where).is_relative_to(installed.parents[1])


def test_the_quickstart_runs_outside_the_checkout(contentops: Callable[..., Completed], tmp_path: Path) -> None:
    """Plan, apply, and plan again: everything is written, and nothing is left to do."""
    example = ROOT / "examples" / "quickstart"
    shutil.copytree(example, tmp_path / "quick", ignore=shutil.ignore_patterns(".contentops", "out", "*.lock"))
    first = contentops("-C", "quick", "plan", "--json", "--detailed-exitcode")
    assert first.code == 2, first.stderr
    planned = sorted(change["target"] for change in first.json["changes"])
    assert len(planned) >= 22
    applied = contentops("-C", "quick", "apply", "--yes")
    assert applied.code == 0, applied.stdout + applied.stderr
    out = tmp_path / "quick"
    written = sorted(path.relative_to(out).as_posix() for path in (out / "out").rglob("*") if path.is_file())
    assert written == planned
    lock = (out / "contentops.lock").read_bytes()
    again = contentops("-C", "quick", "plan", "--detailed-exitcode")
    assert again.code == 0, again.stdout
    assert contentops("-C", "quick", "apply", "--yes").code == 0
    assert (out / "contentops.lock").read_bytes() == lock


EXCUSES = {
    "pragma: no cover": re.compile(r"#\s*pragma: no (?:cover|branch)"),
    "type: ignore": re.compile(r"#\s*type: ignore"),
    "noqa": re.compile(r"#\s*noqa"),
}


@pytest.mark.parametrize("kind", EXCUSES)
def test_excuses_are_counted(kind: str) -> None:
    """Looking away is a decision: pyproject.toml holds how often each kind is allowed, exactly."""
    allowed = PYPROJECT["tool"]["contentops"]["excuses"][kind]
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()}"
        for path in sorted((ROOT / "contentops").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if EXCUSES[kind].search(line)
    ]
    assert len(found) == allowed, "\n".join(["set the number in pyproject.toml, or do without:", *found])


@pytest.mark.parametrize(
    "path",
    [ROOT / ".pre-commit-config.yaml", *(ROOT / ".github").rglob("*.yml")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_settings_of_the_workshop_are_yaml(path: Path) -> None:
    """A form or workflow with a stray colon is silently dropped by its reader; here it is not."""
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)


def test_the_changelog_knows_this_version() -> None:
    """A released version has its section; what is not yet released has one too."""
    from contentops import __version__

    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == __version__


@pytest.fixture
def makes(tmp_path: Path) -> Callable[..., str]:
    """Runs `make types` where every Python only says how it was called; returns what was said."""
    if os.name == "nt" or shutil.which("make") is None:
        pytest.skip("needs make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    for place in ("bin", ".venv/bin"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("python3", "python"):
            (tmp_path / place / name).write_text(f'#!/bin/sh\necho "{place}/{name} $*"\n')
            (tmp_path / place / name).chmod(0o755)

    def call(activated: Path, *arguments: str) -> str:
        (tmp_path / ".venv/bin/activate").write_text(f"VIRTUAL_ENV={activated}\n")
        env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        command = ["make", "types", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    return call


def test_make_uses_the_environment_that_is_there(makes: Callable[..., str], tmp_path: Path) -> None:
    """What a person installed in `.venv` of the clone stays there."""
    said = makes(tmp_path / ".venv")
    assert ("using .venv as it is\n" in said, "--clear" in said) == (True, False)
    assert ".venv/bin/python -m mypy --num-workers 2\n" in said


@pytest.mark.parametrize(("moved", "arguments"), [(True, ()), (False, ("PYTHON=python3",))])
def test_make_clears_an_environment_that_was_moved_or_is_to_have_another_python(
    makes: Callable[..., str], tmp_path: Path, moved: bool, arguments: tuple[str, ...]
) -> None:
    """One that was made for another place does not run here; a Python that is named is the one that is used."""
    said = makes(tmp_path / ("elsewhere/.venv" if moved else ".venv"), *arguments)
    assert "bin/python3 -m venv --clear .venv\n" in said
