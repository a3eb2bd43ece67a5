"""Makes a large project for benchmarks, in a state in which a plan has no changes.

    python benchmarks/tree.py FOLDER ITEMS [ITEMS_PER_MANIFEST]

Applying 100,000 items takes minutes, and a plan reads only the state and the files. So one item is applied with the
bundled server, and the records and files of all others are written as copies of it. A plan that finds no change shows
that an apply would have left the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import timing

sys.path.insert(0, str(timing.ROOT))

if TYPE_CHECKING:
    from contentops.model import Record

GRAIN = float(os.environ.get("BENCHMARK_GRAIN", "3"))
"""Seconds after which the time stamp of a file is trusted; 0 only tests whether everything runs."""
PER_FILE = 100
"""The default number of items in a manifest."""
PER_FOLDER = 1000
"""The number of output files in one folder."""
SETTINGS = """\
version: 1
project: bench
api: {base_url: local}
output: "out/{{ item.id }}.md"
defaults: {template: blog_article_generator, style: general_blog, mode: quick}
vars: {company: Example}
"""
ITEM = """\
  - id: {folder:03d}/item-{number:06d}
    inputs:
      topic: "Topic {number}: what {{{{ company }}}} learned of it"
      target_audience: marketing directors of group {group}
      article_tone: calm and exact
      call_to_action: Write to us, and we answer within a day
      objective: Decide whether topic {number} is worth a project
      key_points:
        - what it costs
        - what it brings
        - where it went wrong {group} times
      seo_keywords: [topic, guide, v{group}]
      include_examples: true
      word_count_target: 900
    metadata:
      owner: team-{group}
      tags: [guide, b{group}]
      date: 2026-03-01
      priority: {group}
    tags: [bench]
"""
BODY = "## What it costs\n\n" + "A paragraph of plain words that stands for a real one. " * 12 + "\n"


def declare(folder: Path, count: int, per_file: int = PER_FILE) -> None:
    """Write the settings, and manifests with `count` items of about 600 bytes each."""
    (folder / "content").mkdir(parents=True)
    (folder / "contentops.yaml").write_text(SETTINGS, encoding="utf-8")
    for start in range(0, count, per_file):
        items = map(item, range(start, min(start + per_file, count)))
        (folder / "content" / f"{start:06d}.yaml").write_text(f"items:\n{''.join(items)}", encoding="utf-8")


def item(number: int) -> str:
    """Return the YAML lines that declare one item."""
    return ITEM.format(number=number, folder=number // PER_FOLDER, group=number % 9)


def grow(folder: Path, count: int, per_file: int = PER_FILE) -> None:
    """Make the whole project, and wait until its time stamps are trusted.

    A child process makes it, because each later child's peak memory counts as at least that of this process.
    """
    timing.spent([sys.executable, __file__, str(folder), str(count), str(per_file)], timing.ROOT)
    time.sleep(GRAIN)


def record(folder: Path) -> None:
    """Write the state and the output files of all items, as an apply would leave them."""
    from msgspec import structs

    from contentops.digest import digest_text
    from contentops.documents.clean import body_digest, title_digest
    from contentops.documents.front_matter import compose, provenance
    from contentops.model import Saved
    from contentops.operations import opening, workspace
    from contentops.state import lock
    from contentops.state.codec import line_of

    first = "000/item-000000"
    command = [*timing.CONTENTOPS, "apply", "--yes", "--select", first]
    timing.spent(command, folder)
    project = opening.open_project(str(folder), "", ())
    state = opening.read_state(project)
    known = state.records[first]  # type: ignore[index]  # a text is an id
    made = state.made_by(known)
    assert made is not None
    jobs = [made]
    body, (one, *others) = body_digest(BODY), workspace.validate(project).specs
    assert one.id == first
    records: dict[str, Record] = {first: known}
    for spec in others:
        title = str(spec.request.inputs["topic"])
        job = digest_text(spec.id)[7:39]
        file = folder / spec.output
        file.parent.mkdir(parents=True, exist_ok=True)
        block = provenance(item=spec.id, digest=spec.digest, job=job, generated_at=made.generated_at)
        file.write_text(compose(title, spec.metadata, block, BODY), encoding="utf-8")
        taken = title_digest(title)
        records[spec.id] = structs.replace(
            known,
            id=spec.id,
            digest=spec.digest,
            request=spec.request.as_json(),
            used=spec.used,
            output=spec.output,
            title=title,
            metadata=spec.metadata,
            generated=body,
            saved=Saved(title=taken, body=body, server_title=taken, server_body=body),
            content_id=f"cnt_{job}",
            request_id=job,
        )
        own = {"item": spec.id, "digest": spec.digest, "output": spec.output, "title": title}
        jobs.append(structs.replace(made, request_id=job, job_id=job, content_id=f"cnt_{job}", **own))
    with (folder / "contentops.jobs").open("a", encoding="utf-8") as orders:
        orders.writelines(f"{line_of(each)}\n" for each in jobs[1:])
    (folder / "contentops.lock").write_bytes(
        lock.join(state.lineage, (line_of(records[each]) for each in sorted(records)))
    )


def commit(folder: Path) -> None:
    """Commit the whole project to a new git repository."""
    git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*git, *words], cwd=folder, check=True)


def main() -> None:
    """Make the project that the command line describes."""
    folder, count, *others = Path(sys.argv[1]), *map(int, sys.argv[2:])
    declare(folder, count, *others)
    record(folder)
    commit(folder)


if __name__ == "__main__":
    main()
