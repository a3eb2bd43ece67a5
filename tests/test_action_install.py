"""What the action installs: itself, as it is pinned, and everything else by its hash."""

import importlib.metadata
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.workflows import ROOT, Ended, Runner, read, steps_of

PINS = ROOT / "action-requirements.txt"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
NEEDED = [
    Requirement(text)
    for text in (
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["postgres"],
        *PROJECT["optional-dependencies"]["xlsx"],
        *PYPROJECT["build-system"]["requires"],
    )
]
"""What runs it, with a ledger too, and what builds it."""
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.0", "extra": "", **system}
    for python in ("3.11", "3.12", "3.13", "3.14")
    for system in (
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    )
]
"""Where a runner may run it."""


def _entries() -> Iterator[str]:
    text = re.sub(r"^\s*#.*\n", "", PINS.read_text("utf-8"), flags=re.MULTILINE)
    yield from (entry.strip() for entry in text.replace("\\\n", " ").splitlines() if entry.strip())


def _pins() -> Mapping[str, Requirement]:
    found = (Requirement(entry.partition(" --hash")[0]) for entry in _entries())
    return {canonicalize_name(one.name): one for one in found}


def _version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    return specifier.version


def test_every_line_is_one_version_with_its_hashes() -> None:
    """No address, no option, no range: nothing that could be another file tomorrow."""
    for entry in _entries():
        pin, *hashes = re.split(r"\s+--hash=", entry)
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [^;]+)?", pin), entry
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), entry


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_every_dependency_is_there_in_a_version_that_fits(needed: Requirement) -> None:
    """A range that moves in pyproject.toml moves here: `make pins`."""
    pin = _pins()[canonicalize_name(needed.name)]
    assert needed.specifier.contains(_version(pin))
    assert pin.marker is None


def _stated(name: str) -> list[str]:
    """What a package needs; one that is for other systems than this, and so is not here, needs nothing."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        marker = _pins()[canonicalize_name(name)].marker
        assert marker is not None, name
        assert not marker.evaluate(), name
        return []


def test_the_list_is_whole_and_holds_nothing_else() -> None:
    """What is needed by what is needed, on every system and Python; nothing that no one asks for."""
    pins, reached = _pins(), set[str]()
    waiting = list(NEEDED)
    while waiting:
        asked = waiting.pop()
        name = str(canonicalize_name(asked.name))
        if name in reached:
            continue
        reached.add(name)
        places = [{**one, "extra": extra} for one in MACHINES for extra in ("", *asked.extras)]
        for needed in (Requirement(text) for text in _stated(name)):
            where = [one for one in places if needed.marker is None or needed.marker.evaluate(one)]
            if not where:
                continue
            pin = pins[canonicalize_name(needed.name)]
            assert all(pin.marker is None or pin.marker.evaluate(one) for one in where), needed
            waiting.append(needed)
    assert reached == set(pins)


PYTHON = """\
#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  *" -m venv "*) for home; do :; done; rm -rf "$home"; mkdir -p "$home/{bin}"; cp "$0" "$home/{bin}/python" ;;
  *--requirement*) [ ! -e "{log}.offline" ] || exit 1 ;;
  *--no-build-isolation*) printf '#!/bin/sh\\necho "ran $*"\\n' > "$(dirname "$0")/{command}"
    chmod +x "$(dirname "$0")/{command}" ;;
esac
"""
"""Notes what it is asked for, and does as much of it as the next step looks at."""


LAYOUT = {"posix": {"bin": "bin", "command": "contentops"}, "windows": {"bin": "Scripts", "command": "contentops.exe"}}
"""Where an environment keeps its commands."""


class Machine:
    """A runner on which nothing is installed."""

    def __init__(self, folder: Path, system: str) -> None:
        self.log = folder / "log"
        self.python = folder / "python"
        self.python.write_text(PYTHON.format(log=self.log, **LAYOUT[system]))
        self.python.chmod(0o755)
        self.runner = Runner(folder / "run", folder, {}, {})
        shutil.rmtree(self.runner.temp / "contentops")

    def use(self) -> Ended:
        """The whole action, as a job uses it."""
        return self.runner.action({"command": "validate", "python": str(self.python)})

    def asked(self) -> list[str]:
        """What Python was called with."""
        return self.log.read_text().splitlines()


@pytest.fixture(params=LAYOUT)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """A runner on which nothing is installed."""
    return Machine(tmp_path, request.param)


posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a POSIX script")


@posix
def test_it_is_installed_once_a_job(machine: Machine, processes: None) -> None:
    """Dependencies by hash and unbuilt, then itself from the commit that was pinned, without asking anyone."""
    ended = machine.use()
    assert (ended.codes, ended.printed) == ({"step": 0}, "ran -C . validate\n")
    home = machine.runner.temp / "contentops"
    pip = "-I -m pip install --quiet --disable-pip-version-check"
    assert machine.asked() == [
        "-I -V",
        f"-I -m venv --clear {home}",
        f"{pip} --require-hashes --only-binary=:all: --requirement {PINS}",
        f"{pip} --no-index --no-deps --no-build-isolation {ROOT}",
    ]
    machine.use()
    assert len(machine.asked()) == 4


def test_what_was_downloaded_before_is_used_again() -> None:
    """For this Python and this list alone; pip looks for it there, and holds it against its hashes."""
    look, cache, install, *_ = steps_of(read(ROOT / "action.yml"))
    assert cache["uses"].startswith("actions/cache@")
    assert cache["if"] == install["if"] == "steps.look.outputs.key != ''"
    assert {"runner.os", "runner.arch", "steps.look.outputs.key"} == set(
        re.findall(r"{{ (\S+) }}", cache["with"]["key"])
    )
    assert "action-requirements.txt" in look["run"]
    assert cache["with"]["path"].endswith("/contentops-pip")
    assert 'export PIP_CACHE_DIR="$RUNNER_TEMP/contentops-pip"' in install["run"]


@posix
def test_a_failed_installation_fails_the_job(machine: Machine, processes: None) -> None:
    """Nothing of it is run; the next step that uses the action starts again."""
    offline = machine.log.with_name("log.offline")
    offline.touch()
    ended = machine.use()
    assert (ended.codes, ended.printed, len(machine.asked())) == ({"step": 1}, "", 3)
    offline.unlink()
    assert machine.use().codes == {"step": 0}
