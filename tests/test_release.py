"""What a release is made of: built once and attested, published without a secret; and what is installed on the way."""

import importlib.util
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contentops import __version__
from tests.workflows import ROOT, read, steps_of


def _load(name: str) -> Any:
    """A script of `.ci`, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release, locked = _load("release"), _load("locked")
RELEASE = ROOT / ".github/workflows/release.yml"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [ROOT / "action-requirements.txt", ROOT / "dev-requirements.txt"]
FAULTS = {
    "filelock": "3.29.7",  # a killed apply leaves its lock with processes it made; older: CVE-2026-22701, CVE-2025-68146
    "h11": "0.15.0",  # CVE-2025-43859: two requests in one
    "httpcore": "1.0.8",  # what takes such an h11
    "idna": "3.6",  # CVE-2024-3651
    "jinja2": "3.1.5",  # CVE-2025-27516: a way out of the sandbox
    "starlette": "1.0.0",  # older ones: CVE-2025-62727, CVE-2025-54121 and what 1.0.1 mends
}
"""The newest version with a known fault, of what runs."""


def pins(path: Path) -> dict[str, str]:
    """The version of each package in a list of pins."""
    return {
        canonicalize_name(found[1]): found[2]
        for found in re.finditer(r"^([a-z0-9-]+)==(\S+)", path.read_text("utf-8"), re.MULTILINE)
    }


@pytest.mark.parametrize(("name", "faulty"), FAULTS.items())
def test_no_version_with_a_known_fault_is_installed(name: str, faulty: str) -> None:
    """Neither by whoever installs the package, where it is named, nor by the action and by CI."""
    for needed in map(Requirement, PROJECT["dependencies"]):
        if canonicalize_name(needed.name) == name:
            assert not needed.specifier.contains(faulty)
    newer = Requirement(f"x>{faulty}").specifier
    for path in PINS:
        assert newer.contains(pins(path)[name])


def test_ci_installs_what_is_pinned() -> None:
    """Every tool that `dev` and `audit` name, in a version that fits, by hash; no job installs another way."""
    known = pins(PINS[1])
    extras = PROJECT["optional-dependencies"]
    for needed in map(Requirement, [*PROJECT["dependencies"], *extras["dev"], *extras["audit"]]):
        assert needed.specifier.contains(known[canonicalize_name(needed.name)]), needed
    text = PINS[1].read_text("utf-8")
    assert len(re.findall(r"^\S+==.* \\$", text, re.MULTILINE)) == len(known)
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        document = read(path)
        for job in document["jobs"].values():
            script = "\n".join(step.get("run", "") for step in job["steps"])
            if path.stem != "versions":
                assert "VERSIONS" not in {**document.get("env", {}), **job.get("env", {})}
                assert "VERSIONS" not in script
            if "pip install --require-hashes" not in script:
                assert "--editable" not in script


def test_the_security_page_names_what_is_not_installed_by_hash() -> None:
    """And no workflow that publishes is among it; nothing checks the signature of a tag, and nothing else is claimed."""
    loose = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        scripts = [step.get("run", "") for job in read(path)["jobs"].values() for step in job["steps"]]
        lines = [line for script in scripts for line in script.splitlines()]
        installs = [
            line for line in lines if re.search(r"\b(?:pip|npm|apt-get|gem|go|cargo|brew) (?:-\S+ )*install\b", line)
        ]
        if any("--require-hashes" not in line and "--no-deps --no-build-isolation" not in line for line in installs):
            loose.add(path.stem)
        if any("VERSIONS" in job.get("env", {}) for job in read(path)["jobs"].values()):
            loose.add(path.stem)
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    (sentence,) = (line for line in text.splitlines() if "not by hash" in line)
    assert set(re.findall(r"`(\w+)`", sentence)) == loose
    assert "release" not in loose
    assert ("git tag --verify" in RELEASE.read_text("utf-8")) != ("no workflow checks the signature" in text)


def test_only_what_publishes_is_trusted() -> None:
    """Who builds may only read; who publishes runs one action after an approval, with the files that were attested."""
    document = read(RELEASE)
    assert document["on"] == {"push": {"tags": ["v*"]}}
    rights = {name: set(job["permissions"]) for name, job in document["jobs"].items()}
    assert rights == {
        "build": {"contents"}, "attest": {"attestations", "id-token"}, "publish": {"id-token"}, "page": {"contents"},
    }  # fmt: skip
    assert document["jobs"]["build"]["permissions"]["contents"] == "read"
    assert [document["jobs"][name]["needs"] for name in ("attest", "publish", "page")] == ["build", "attest", "publish"]
    publish = document["jobs"]["publish"]
    assert publish["environment"]["name"] == "pypi"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "secrets." not in RELEASE.read_text("utf-8")
    build, attest = (document["jobs"][name]["steps"] for name in ("build", "attest"))
    assert [step["with"]["name"] for step in build if "upload-artifact" in step.get("uses", "")] == ["dist", "sbom"]
    subjects = [step["with"] for step in attest if "attest" in step["uses"]]
    assert [one["subject-path"] for one in subjects] == ["dist/*", "dist/*"]
    assert [one.get("predicate-path") for one in subjects] == [None, "sbom/contentops.cdx.json"]


@pytest.mark.parametrize("tag", ["v9.9.9", f"v{__version__}.1", "v", __version__])
def test_a_tag_is_the_version(tag: str) -> None:
    """Of the package as it is there; the workflow gives the tag to the script that a rehearsal runs."""
    (step,) = (step for step in steps_of(read(RELEASE)) if step.get("run", "").endswith(" release"))
    assert (step["run"], step["env"]) == ("make PYTHON=python release", {"TAG": "${{ github.ref_name }}"})
    release.check_tag(__version__, f"v{__version__}")
    release.check_tag(__version__, "")
    with pytest.raises(release.Fault, match="is not the version of the package"):
        release.check_tag(__version__, tag)


def test_the_workflow_tries_each_supported_python() -> None:
    """A Python that a rehearsal skips is there for a tag."""
    (setup,) = (
        step["with"] for step in read(RELEASE)["jobs"]["build"]["steps"] if "setup-python" in step.get("uses", "")
    )
    assert sorted(setup["python-version"].split()) == release.supported()
    with pytest.raises(release.Fault, match=r"Python 3\.99 is not on this machine"):
        release.try_out("3.99", ROOT, tagged=True)
    assert release.try_out("3.99", ROOT, tagged=False).startswith("skipped")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what a release reads, ready for version 1.2.3."""
    (tmp_path / "contentops").mkdir()
    (tmp_path / "contentops/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "contentops"\ndynamic = ["version"]\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-12-01)\n\n- It.\n\n## 1.2.2\n\n- That.\n")
    return tmp_path


@pytest.mark.parametrize(("file", "old", "new", "said"), [
    ("contentops/__init__.py", '"1.2.3"', '"next"', "is not like 1.2.3"),
    ("pyproject.toml", "dynamic", 'version = "1.2.3"\ndynamic', "stated in contentops/__init__.py alone"),
    ("CHANGELOG.md", "## 1.2.3", "## Unreleased", "turn *Unreleased* into it"),
    ("CHANGELOG.md", "- It.\n", "", "is empty"),
])  # fmt: skip
def test_what_a_release_misses_is_named(checkout: Path, file: str, old: str, new: str, said: str) -> None:
    """With the file, before anything is built."""
    (checkout / file).write_text((checkout / file).read_text().replace(old, new, 1))
    with pytest.raises(release.Fault) as fault:
        release.heading(checkout, release.version_of(checkout), tagged=True)
    assert (file in str(fault.value), said in str(fault.value)) == (True, True), fault.value


def test_the_wheel_is_held_against_what_git_tracks(tmp_path: Path) -> None:
    """A missing page, and a file that someone left in the folder, are named."""
    wheel = tmp_path / "contentops-1-py3-none-any.whl"
    held = ["__init__.py", "pages/a.html", "pages/a.css", "pages/a.js", "sql/1.sql", "py.typed", "schemas/a.json"]
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in [*held, "left.txt"]:
            archive.writestr(f"contentops/{name}", "")
        archive.writestr("contentops-1.dist-info/METADATA", "Metadata-Version: 2.4\nName: contentops\nVersion: one\n")
    files = [f"contentops/{name}" for name in held[:-1]] + ["schemas/a.json", "README.md"]
    with pytest.raises(
        release.Fault, match=re.escape("missing ['contentops/b.py'], unexpected ['contentops/left.txt']")
    ):
        release.check_wheel(wheel, [*files, "contentops/b.py"])
    release.check_wheel(wheel, [*files, "contentops/left.txt"])
    with pytest.raises(release.Fault, match="version"):
        release.check_metadata(wheel, "1")


def test_the_bill_of_materials_lists_what_is_pinned() -> None:
    """Each package with its hashes, and the same bytes each time."""
    text = PINS[0].read_text("utf-8")
    bill = release.sbom("1.2.3", text, 1_700_000_000)
    assert {one["name"]: one["version"] for one in bill["components"]} == pins(PINS[0])
    hashes = [found["content"] for one in bill["components"] for found in one["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall("sha256:([0-9a-f]{64})", text))
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert release.sbom("1.2.3", text, 1_700_000_000) == bill


def test_the_code_and_what_it_needs_are_looked_at_every_week() -> None:
    """CodeQL over the code and the workflows, pip-audit over both lists; the one fault that is passed over is told."""
    document = read(ROOT / ".github/workflows/security.yml")
    assert "schedule" in document["on"]
    assert set(document["jobs"]) == {"codeql", "audit"}
    assert document["jobs"]["codeql"]["strategy"]["matrix"]["language"] == ["python", "actions"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert all(f"$(AUDIT) --requirement {path.name}\n" in makefile for path in PINS)
    for fault in re.findall(r"--ignore-vuln (\S+)", makefile):
        assert fault in (ROOT / "SECURITY.md").read_text("utf-8")


def test_the_extra_with_exact_versions_agrees_with_what_the_action_installs() -> None:
    """It names everything that the program needs, at one version each, and nothing of other extras."""
    project, pins = (ROOT / "pyproject.toml").read_text("utf-8"), PINS[0].read_text("utf-8")
    wanted = locked.locked(project, pins)
    assert locked.with_extra(project, wanted) == project, "run `make pins`"
    assert PROJECT["optional-dependencies"]["locked"] == wanted
    names = {canonicalize_name(Requirement(one).name) for one in wanted}
    direct = {canonicalize_name(Requirement(one).name) for one in PROJECT["dependencies"]}
    assert direct < names
    assert names.isdisjoint({"psycopg", "openpyxl", "hatchling"})
    assert all(str(Requirement(one).specifier).startswith("==") for one in wanted)
