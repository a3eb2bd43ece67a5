"""Rehearses a release, up to the upload. The release workflow runs the same, with the tag in the variable TAG.

    python .ci/release.py         leaves dist/ and contentops.cdx.json, what is to be uploaded
    python .ci/release.py sbom    writes contentops.cdx.json alone

It needs what `make release` installs, and the network for the packages that contentops needs.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zipfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
VERSION: Final = re.compile(r'^__version__ = "(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)"$', re.MULTILINE)
KINDS: Final = {".css", ".html", ".js", ".json", ".py", ".sql", ".typed"}
"""Ends of names of which the wheel has some: without one of them, a part of the program would be missing."""
JOURNEY: Final = (
    ("init", "my-content"),
    ("-C", "my-content", "validate"),
    ("-C", "my-content", "apply", "--yes"),
    ("-C", "my-content", "plan", "--detailed-exitcode"),  # 0: nothing is left to do
    ("-C", "my-content", "review", "--out", "pages"),
    ("schema", "manifest"),
)


class Fault(Exception):
    """Something that has to be mended before the release."""


def main(arguments: list[str]) -> int:
    """Do one step after the other; return the exit code."""
    try:
        version = version_of(ROOT)
        if arguments == ["sbom"]:
            write_sbom(version)
            return 0
        tag = os.environ.get("TAG", "")
        check_tag(version, tag)
        print(f"version {version}, from contentops/__init__.py alone")
        print(f"changelog: {heading(ROOT, version, tagged=bool(tag))}")
        wheel, sdist = build_twice()
        check_wheel(wheel, tracked())
        check_metadata(wheel, version)
        print(f"{wheel.name}: every file of the package and of schemas/, and its metadata is valid")
        for python in supported():
            print(f"Python {python}: {try_out(python, wheel, tagged=bool(tag))}")
        write_sbom(version)
    except Fault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    for file in (wheel, sdist, ROOT / "contentops.cdx.json"):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT).as_posix()}")
    print("provenance: attested by the workflow `release`, which alone can say where it was built")
    print("\nOnce, by a person (CONTRIBUTING.md):", *once(ROOT), sep="\n")
    return 0


# --- what the repository says --------------------------------------------------------------------------------


def version_of(root: Path) -> str:
    """Return the version; Fault unless the package states one, and pyproject.toml none."""
    found = VERSION.search((root / "contentops/__init__.py").read_text("utf-8"))
    if found is None:
        raise Fault("contentops/__init__.py: `__version__` is not like 1.2.3 or 1.2.3rc1")
    if "version" in _project(root):
        raise Fault("pyproject.toml: the version is stated in contentops/__init__.py alone")
    return found[1]


def check_tag(version: str, tag: str) -> None:
    """Fault if there is a tag and it is not of this version."""
    if tag not in {"", f"v{version}"}:
        raise Fault(f"the tag {tag} is not the version of the package, {version}")


def heading(root: Path, version: str, *, tagged: bool) -> str:
    """Return the heading of the first section of the changelog; Fault if it is not of this version, or empty.

    In a rehearsal it may be *Unreleased*.
    """
    text = (root / "CHANGELOG.md").read_text("utf-8")
    found = re.search(r"^## (\S+)(.*)$", text, re.MULTILINE)
    if found is None or found[1] not in ({version} if tagged else {version, "Unreleased"}):
        raise Fault(f"CHANGELOG.md: the first section is not `## {version}`; turn *Unreleased* into it")
    if not text[found.end() :].partition("\n## ")[0].strip():
        raise Fault(f"CHANGELOG.md: the section `{found[1]}` is empty")
    return (found[1] + found[2]).strip()


def supported() -> list[str]:
    """Return the Pythons that the package names, such as `3.11`."""
    named = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in _project(ROOT)["classifiers"])
    return [found[1] for found in named if found]


def once(root: Path) -> list[str]:
    """Return the list of what a person does once, from CONTRIBUTING.md."""
    section = (root / "CONTRIBUTING.md").read_text("utf-8").partition("\n### Once\n")[2].partition("\n#")[0]
    return [line for line in section.splitlines() if re.match(r"\d\. ", line)]


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project


# --- built twice ---------------------------------------------------------------------------------------------


def build_twice() -> tuple[Path, Path]:
    """Build wheel and sdist into dist/; Fault unless a copy of the tracked files builds the same bytes elsewhere."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "elsewhere"
        for name in tracked():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        _build(ROOT, dist)
        _build(copy, copy / "dist")
        different = [file.name for file in sorted(dist.iterdir()) if _differs(file, copy / "dist" / file.name)]
        if different:
            raise Fault(f"built twice, these differ: {'; '.join(different)}. Are files there that git does not track?")
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    print(f"built twice with equal bytes: {wheel.name}, {sdist.name}")
    return wheel, sdist


def _build(source: Path, target: Path) -> None:
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(_epoch())}
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)], env=env)


def _differs(one: Path, other: Path) -> bool:
    return not other.is_file() or one.read_bytes() != other.read_bytes()


def tracked() -> list[str]:
    """Return the files that git tracks."""
    return [name for name in _run(["git", "ls-files", "-z"]).split("\0") if name and (ROOT / name).is_file()]


def _epoch() -> int:
    """Return the seconds of the last commit, which files in archives get as their time."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _run(["git", "log", "-1", "--format=%ct"]))


def check_wheel(wheel: Path, files: list[str]) -> None:
    """Fault unless the wheel has each tracked file of the package and of schemas/, and no other."""
    wanted = {name for name in files if name.startswith("contentops/")}
    wanted |= {f"contentops/{name}" for name in files if name.startswith("schemas/")}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    if wanted != held:
        raise Fault(f"{wheel.name}: missing {sorted(wanted - held)}, unexpected {sorted(held - wanted)}")
    if absent := KINDS - {Path(name).suffix or Path(name).name for name in held}:
        raise Fault(f"{wheel.name}: has no file of {sorted(absent)}")


def check_metadata(wheel: Path, version: str) -> None:
    """Fault unless an index would take the metadata."""
    from packaging.metadata import Metadata

    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        try:
            found = Metadata.from_email(archive.read(name), validate=True)
        except ExceptionGroup as invalid:
            raise Fault(f"{wheel.name}: {'; '.join(map(str, invalid.exceptions))}") from invalid
    if (str(found.version), found.description_content_type) != (version, "text/markdown") or not found.description:
        raise Fault(f"{wheel.name}: version, description or the type of the description is wrong")


# --- tried out -----------------------------------------------------------------------------------------------


def try_out(python: str, wheel: Path, *, tagged: bool) -> str:
    """Install the wheel into a fresh environment of a Python, and walk the journey in an empty folder.

    Returns how it went; Fault where something failed, or where that Python is missing and there is a tag.
    """
    command = find(python)
    if command is None:
        if tagged:
            raise Fault(f"Python {python} is not on this machine")
        return "skipped, as it is not on this machine"
    with tempfile.TemporaryDirectory() as folder:
        home, work = Path(folder) / "env", Path(folder) / "work"
        work.mkdir()
        _run([command, "-m", "venv", "--without-pip", str(home)])
        inside = home / ("Scripts" if os.name == "nt" else "bin")
        install = [sys.executable, "-m", "pip", "--python", str(inside / "python"), "install", "--quiet"]
        pins = str(ROOT / "action-requirements.txt")
        _run([*install, "--require-hashes", "--only-binary=:all:", "--requirement", pins])
        _run([*install, "--no-deps", "--no-index", str(wheel)])
        for arguments in JOURNEY:
            _run([str(inside / "contentops"), *arguments], cwd=work)
        texts, pages = len(list(work.glob("my-content/out/*.md"))), len(list(work.glob("**/pages/**/*.html")))
    if not texts or not pages:
        raise Fault(f"Python {python}: the journey left {texts} texts and {pages} pages")
    return f"installed; init, apply, an empty plan: {texts} texts, {pages} pages"


def find(python: str) -> str | None:
    """Return the command of a Python of the path that runs and can make environments."""
    for folder in os.get_exec_path():
        command = shutil.which(f"python{python}", path=folder)
        asked = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
        if command is None:
            continue
        ended = subprocess.run([command, "-c", asked], capture_output=True, text=True, check=False)
        if ended.returncode == 0 and ended.stdout.strip() == python:
            return command
    return None


def _run(command: list[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; Fault with its last lines if it fails."""
    clean = {name: value for name, value in (env or os.environ).items() if not name.startswith("PYTHON")}
    ended = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-15:])
        raise Fault(f"`{' '.join(command)}` ended with exit code {ended.returncode}:\n{last}")
    return ended.stdout


# --- what it needs -------------------------------------------------------------------------------------------


def write_sbom(version: str) -> None:
    """Write contentops.cdx.json."""
    pins = (ROOT / "action-requirements.txt").read_text("utf-8")
    text = json.dumps(sbom(version, pins, _epoch()), indent=2)
    (ROOT / "contentops.cdx.json").write_text(f"{text}\n", "utf-8")


def sbom(version: str, pins: str, epoch: int) -> dict[str, Any]:
    """Return a bill of materials in CycloneDX: what the action installs, with the hashes of its files."""
    packages = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n    --hash=.*)*)", pins, re.MULTILINE)
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{pinned}",
            "name": name,
            "version": pinned,
            "purl": f"pkg:pypi/{name}@{pinned}",
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{name}/{pinned}/",
                    "hashes": [
                        {"alg": "SHA-256", "content": digest} for digest in re.findall("sha256:([0-9a-f]{64})", rest)
                    ],
                }
            ],
        }
        for name, pinned, rest in packages
    ]
    itself = f"pkg:pypi/contentops@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, itself + pins)}",
        "version": 1,
        "metadata": {
            "timestamp": dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat().replace("+00:00", "Z"),
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": "contentops",
                "version": version,
                "purl": itself,
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": itself, "dependsOn": [component["bom-ref"] for component in components]}],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
