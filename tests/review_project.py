"""A project for the review page, in every state that it shows: made without a server, as an apply would leave it.

    python -m tests.review_project FOLDER [ITEMS]

The texts are declared from `examples/quickstart` and more rows of its data file. Records and files are written after
the likeness of what an apply leaves, so that ten thousand items cost seconds.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec import structs
from msgspec.json import encode as encode_json

from contentops.atomic_io import Disk
from contentops.digest import digest_text
from contentops.documents.clean import body_digest
from contentops.documents.front_matter import compose, provenance
from contentops.manifests.catalog_lock import FILE, encode
from contentops.model import (
    Approval,
    ItemId,
    Job,
    JobState,
    Project,
    Record,
    RequestId,
    Spec,
    State,
    Verdict,
    text_digest,
)
from contentops.model.run import KeptReport, KeptRun
from contentops.operations import opening, runs, workspace
from contentops.operations.opening import Runtime
from contentops.operations.workspace import catalog_of
from contentops.pages.app import create_app, open_port
from contentops.pages.security import Keys
from contentops.pages.site import Links, Site
from contentops.state import approvals, jobs
from contentops.state.codec import line_of
from tests.state_facts import rendered

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "quickstart"
BROWSER: Final = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SERVER: Final = "https://api.writerzroom.com:443"
SETTINGS: Final = """\
version: 1
project: acme-quickstart
api: {base_url: "https://api.writerzroom.com/v1", save: off}
output: "out/{{ item.id }}.md"
budget: {credits_per_apply: 700, items_per_apply: 200}
defaults:
  style: general_blog
  mode: standard
  approval: required
  checks: {excludes: {values: [We guarantee, click here], level: warn}}
vars: {company: Acme Coworking, product: Acme Desk, year: 2026}
"""
LINEAGE: Final = "7d9b1a52-4b6e-5a3f-9f3d-2f6c1f0e8a11"
EDITOR: Final = "Example Editor <editor@example.com>"
_TOWNS: Final = ("Bridge", "Harbour", "Market", "Mill", "North", "Park", "River", "Station", "West", "Garden")
_KINDS: Final = ("Quarter", "Street", "Square", "Yard", "Court", "Row", "Lane", "Place", "Gate", "Walk")
_UNREAD: Final = frozenset({"cities/berlin", "cities/sao-paulo", "cities/toronto"})
PARTS: Final = (
    (
        "Walk through any shared office at ten in the morning and count. The long tables by the window are half empty. The "
        "sofas are free. The four small rooms at the back, the ones with a door and no view, have been taken since nine."
    ),
    (
        "Ask the person inside and you rarely hear *silence*. You hear three other things: no one walks up, no one listens, "
        "and nothing moves."
    ),
    (
        "So the question is not how to police the rooms. It is how many of them the floor is short of. Our rule is plain: if "
        "more than seven in ten bookable hours of a small room are taken, two weeks running, the floor needs another."
    ),
    "Count first. Note each hour which small rooms are taken, for ten working days. A sheet of paper on the door will do.",
    (
        "Turn one meeting room for eight, empty most mornings, into two rooms for one. It costs a partition, a second door "
        "and a weekend."
    ),
    (
        "Most teams that ask for a lease need a day a week together, and a door that closes on the other four. What they pay "
        "for is the empty hours."
    ),
)


def build(folder: Path, items: int = 150, *, declared: int = 0, now: datetime | None = None) -> Project:
    """Make the project with `items` texts in `folder`, all of them as generated and most of them approved.

    `declared`: so many items there are, where that is more; those without a text make no files.
    """
    now = now or datetime.now(UTC)
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    (folder / "contentops.yaml").write_text(SETTINGS, encoding="utf-8")
    if max(items, declared) > 1_000:  # more are not compared
        cities = folder / "content" / "cities.yaml"
        cities.write_text(cities.read_text("utf-8").replace("similar: {level: warn}", "similar: null"), "utf-8")
    with (folder / "data" / "cities.csv").open("a", encoding="utf-8") as rows:
        for at in range(max(items, declared) - 24):
            place = f"{_TOWNS[at % 10]} {_KINDS[at // 10 % 10]}" + (f" {at // 100 + 1}" if at >= 100 else "")
            rows.write(f"{place.lower().replace(' ', '-')},{place},small teams,800,desks by the day\n")
    project = opening.open_project(str(folder), "", ())
    catalog = catalog_of(structs.replace(project, api=structs.replace(project.api, base_url="local")))
    assert catalog is not None
    (folder / FILE).write_text(encode({SERVER: catalog}), encoding="utf-8")
    records: dict[ItemId, Record] = {}
    jobs_of_all: list[Job] = []
    lines: list[Approval] = []
    for at, spec in enumerate(workspace.validate(project).specs[:items]):
        made = now - timedelta(days=(at * 37 % 170) ** 1.5 / 13 + 3, minutes=at)
        records[spec.id], job = _write(folder, spec, at, made)
        jobs_of_all.append(job)
        if _is_approved(spec):
            file = records[spec.id]
            said = Verdict.APPROVED
            lines.append(_line(spec.id, file.title, file.generated, said, made + timedelta(days=2)))
    (folder / "contentops.lock").write_bytes(rendered(State(lineage=LINEAGE, records=records)))
    _write_jobs(folder, LINEAGE, jobs_of_all)
    approvals.record(folder, Disk(), lines)
    ended = f"{now - timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}"
    run = KeptRun(id="run", started_at=ended, ended_at=ended)
    report = KeptReport(environment="", exit_code=0, run=run)
    (folder / ".contentops").mkdir(exist_ok=True)
    runs.keep_report(project, "run.json", encode_json(report))
    return project


def _is_approved(spec: Spec) -> bool:
    return not spec.id.startswith("blog/") and spec.id not in _UNREAD


def _write(folder: Path, spec: Spec, at: int, made: datetime) -> tuple[Record, Job]:
    topic = str(spec.request.inputs.get("topic") or spec.id.rpartition("/")[2].replace("-", " ").capitalize())
    title = str(spec.metadata.get("title") or topic)
    front = {**spec.metadata, **({} if _is_approved(spec) else {"draft": True})}
    parts = [PARTS[(at + number) % len(PARTS)] for number in range(3 + at % 4)]
    body = f"{parts[0]}\n\n## {title}\n\n" + "\n\n".join(parts[1:]) + "\n"
    job = digest_text(spec.id)[7:39]
    when = f"{made:%Y-%m-%dT%H:%M:%SZ}"
    block = provenance(item=spec.id, digest=spec.digest, job=job, generated_at=when)
    file = folder / spec.output
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(compose(title, front, block, body), encoding="utf-8")
    record = Record(
        id=spec.id, digest=spec.digest, request=spec.request.as_json(), used=spec.used, server=SERVER, dialect="v1",
        output=spec.output, title=title, metadata={key: value for key, value in front.items() if key != "title"},
        generated=body_digest(body), request_id=RequestId(job), protected=spec.protected,
    )  # fmt: skip
    return record, _job(record, 1 if spec.request.mode == "quick" else 4, when)


def _job(record: Record, price: int, when: str) -> Job:
    return Job(
        request_id=record.request_id, item=record.id, digest=record.digest, attempt=1, state=JobState.SETTLED,
        server=SERVER, dialect="v1", credits=price, job_id=record.request_id, submitted_at=when,
        body=record.generated, generated_at=when, template=str(record.request["template"]),
        style=str(record.request["style"]), output=record.output,
    )  # fmt: skip


def _write_jobs(folder: Path, lineage: str, lines: Iterable[Job]) -> None:
    (folder / "contentops.jobs").write_bytes(jobs.join(lineage, sorted(map(line_of, lines))))


def _line(item: str, title: str, body: str, verdict: Verdict, at: datetime, note: str = "") -> Approval:
    return Approval(
        item=ItemId(item),
        text=text_digest(title, body),  # a digest is a text
        verdict=verdict,
        by=EDITOR,
        at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        note=note,
        source="page",
    )


def disturb(project: Project, *, now: datetime | None = None) -> None:
    """Bring the project to where each page has something to say: edits, notes, new rows, changed settings."""
    now, folder = now or datetime.now(UTC), Path(project.root)
    state = opening.read_state(project)
    records = dict(state.records)

    def say(item: str, verdict: Verdict, days: int, note: str = "") -> None:
        record = records[ItemId(item)]
        line = _line(item, record.title, record.generated, verdict, now - timedelta(days=days), note)
        approvals.record(folder, Disk(), [line])

    def edit(item: str, *changes: tuple[str, str]) -> None:
        path = folder / records[ItemId(item)].output
        text = path.read_text("utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        edited = (now - timedelta(days=2)).timestamp()
        os.utime(path, (edited, edited))

    say("blog/quiet-rooms", Verdict.APPROVED, 17)
    edit(
        "blog/quiet-rooms",
        ("Our rule is plain: if more than seven", "We use a plain rule: if more than eight"),
        ("A sheet of paper on the door will do.", "A sheet of paper will do; click here for ours."),
    )
    say("blog/what-a-desk-costs", Verdict.SENT_BACK, 3, "The sum for ten people is missing. Show the break-even month.")
    say("blog/first-week-in-a-shared-office", Verdict.SENT_BACK, 9, "Too cheerful.")
    edit("blog/first-week-in-a-shared-office", ("most mornings", "on most mornings"))
    edit("blog/hybrid-work-guide", ("The sofas are free.", "The sofas are free, and so is the kitchen."))
    (folder / records[ItemId("cities/zurich")].output).unlink()
    settings = folder / "contentops.yaml"
    settings.write_text(settings.read_text("utf-8").replace("year: 2026", "year: 2027"), encoding="utf-8")
    launch = folder / "content" / "launch.yaml"
    launch.write_text(launch.read_text("utf-8").replace("mode: quick", "mode: standard"), encoding="utf-8")
    with (folder / "data" / "cities.csv").open("a", encoding="utf-8") as rows:
        for city in ("Turin", "Utrecht", "Valencia", "Vancouver", "Vienna", "Warsaw"):
            rows.write(f"{city.lower()},{city},small teams,800,desks by the day\n")
    guide = records[ItemId("docs/troubleshooting")]
    lost = Job(
        request_id=RequestId("4f3c9a52-4b6e-5a3f-9f3d-2f6c1f0e8a11"), item=guide.id, digest=guide.digest, attempt=2,
        state=JobState.UNKNOWN, server=SERVER, dialect="v1", credits=4,
        submitted_at=f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}", error="the answer was lost",
    )  # fmt: skip
    records[guide.id] = structs.replace(guide, digest=digest_text("an earlier request"))
    (folder / "contentops.lock").write_bytes(rendered(State(lineage=state.lineage, records=records)))
    _write_jobs(folder, state.lineage, [*state.jobs, lost])


@contextlib.contextmanager
def served(folder: Path, runtime: Runtime) -> Iterator[tuple[str, Keys]]:
    """Serves the pages of a project on a port of this machine; gives its address and the keys of the server."""
    import uvicorn

    with open_port("127.0.0.1", 0) as port:
        keys = Keys(port.number)
        site = Site(
            name="acme-quickstart", project=lambda: opening.open_project(str(folder), "", ()), runtime=runtime,
            links=Links(), person=EDITOR, form_token=keys.form_token,
        )  # fmt: skip
        config = uvicorn.Config(create_app(site, keys, "127.0.0.1"), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port.opened]}, daemon=True)
        thread.start()
        try:
            yield port.address.rstrip("/"), keys
        finally:
            site.closing.set()
            server.should_exit = True
            thread.join(20)


def commit(folder: Path) -> None:
    """All of it in git, by the editor."""
    git = ("git", "-c", "gc.auto=0")
    settings: Mapping[str, str] = {"user.name": "Example Editor", "user.email": "editor@example.com"}
    subprocess.run([*git, "init", "--quiet"], cwd=folder, check=True)
    for name, value in settings.items():
        subprocess.run([*git, "config", name, value], cwd=folder, check=True)
    subprocess.run([*git, "add", "."], cwd=folder, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "All"], cwd=folder, check=True)


def in_every_state(folder: Path, items: int = 150, *, now: datetime | None = None) -> None:
    """Make the project, commit it, and disturb it."""
    project = build(folder, items, now=now)
    commit(folder)
    disturb(project, now=now)


def main() -> None:
    """Make the project in a folder."""
    in_every_state(Path(sys.argv[1]), *map(int, sys.argv[2:3]))


if __name__ == "__main__":
    main()
