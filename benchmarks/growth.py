"""Compare the cost of new items in a fresh project and in a project that already has many items.

    python benchmarks/growth.py [--items 2000] [--before 100000] [--sides server serve client]

`server` measures the bundled server inside this process, and `serve` measures it over HTTP. The requests of an item
are: submit, poll until the text is ready, list the newest contents, read the text, save. `client` measures an apply
against a minimal server, from the confirmed plan to its end. Reading the tree and planning is timed separately,
because it covers all items and not only the new ones. The result is CPU milliseconds per item, of one process only:
this one, or that of `serve` including its start. POSIX only.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import throughput

from tests.fakes.asgi import call
from tests.serving import served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[[str, str, Any], Awaitable[Any]]

SIDES = ("server", "serve", "client")
AT_ONCE = 8
BODY = {"template_id": "blog_article_generator", "style_profile_id": "general_blog", "generation_mode": "quick"}


def fill(path: Path, before: int) -> None:
    """Fill a store with `before` finished jobs and their contents."""
    from contentops.server import contents, jobs
    from contentops.server.store import Store

    with Store(path) as store:
        asked = jobs.GenerationRequest(template="blog_article_generator", style="general_blog", mode="quick")
        for number in range(before):
            at = 1_700_000_000.0 + number
            new = jobs.StoredJob(id=f"before-{number}", request=asked, created_at=at)
            job, _ = jobs.submit(store, new)
            text = contents.ContentChange(title=f"Text {number}", body=throughput.TEXT, status="completed")
            jobs.complete(store, job, lambda text=text: text, at + 1)  # type: ignore[misc]


async def items(ask: Ask, count: int) -> None:
    """Send the requests of `count` items, several items at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            inputs = {"topic": f"Topic {number}", "audience": "readers"}
            await ask("POST", "/v1/generate", {**BODY, "inputs": inputs, "request_id": f"now-{number}"})
            path = f"/v1/generate/status/now-{number}"
            while (found := await ask("GET", path, None))["status"] != "completed":  # noqa: ASYNC110 - as the API is
                await asyncio.sleep(0)
            assert len((await ask("GET", "/v1/content?limit=20", None))["content"]) > 0
            text = await ask("GET", f"/v1/content/{found['content']['id']}", None)
            saved = {"id": text["id"], "title": text["title"], "content": f"{text['content']}\nMore.\n"}
            assert (await ask("POST", "/v1/content/save", saved))["success"]

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def server(folder: Path, count: int, before: int) -> float:
    """Return the CPU milliseconds per item of the bundled server inside this process."""
    from contentops.server.app import create_app
    from contentops.server.engines import named
    from contentops.server.store import Store

    fill(folder / "room.db", before)

    async def main() -> float:
        store = Store(folder / "room.db")
        app = create_app(store, engine=named("outline"))

        async def ask(method: str, path: str, body: Any) -> Any:
            return (await call(app, method, path, body)).json

        try:
            begin = time.process_time()
            await items(ask, count)
            return (time.process_time() - begin) / count * 1000
        finally:
            await app.state.close()

    return asyncio.run(main())


def serve(folder: Path, count: int, before: int) -> float:
    """Return the CPU milliseconds per item of the bundled server over HTTP."""
    import httpx

    fill(folder / "room.db", before)

    async def main(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:

            async def ask(method: str, path: str, body: Any) -> Any:
                return (await client.request(method, path, json=body)).json()

            await items(ask, count)

    earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
    with served(folder) as address:
        asyncio.run(main(address))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime - earlier.ru_utime + used.ru_stime - earlier.ru_stime) / count * 1000


def client(folder: Path, count: int, before: int) -> float:
    """Return the CPU milliseconds per item of an apply against a minimal server.

    Prints to stderr the CPU time for reading the tree and planning.
    """
    with throughput.serving() as port:
        if before:
            _project(folder, port, before)
            throughput.applied(folder)
        _project(folder, port, before + count)
        planned, applied, _ = throughput.applied(folder)
    print(f"read and planned {before + count} items in {planned:.2f} s of CPU time", file=sys.stderr)
    return applied / count * 1000


def _project(folder: Path, port: int, count: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "contentops.yaml").write_text(
        f"version: 1\nproject: growth\napi: {{base_url: 'http://127.0.0.1:{port}/1/300/v1', dialect: v1, "
        "requests_per_minute: 0, max_in_flight: 5000}\ndefaults: {template: blog, style: plain}\n"
    )
    (folder / "content").mkdir(exist_ok=True)
    rows = "".join(f"{number:06d}\n" for number in range(count))
    (folder / "content" / "rows.csv").write_text(f"slug\n{rows}")
    item = 'items:\n  - id: "item-{{ each.slug }}"\n    for_each: content/rows.csv\n'
    (folder / "content" / "items.yaml").write_text(f'{item}    inputs: {{topic: "Topic {{{{ each.slug }}}}"}}\n')


def main() -> None:
    """Measure, and print one line for each side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--before", type=int, default=100_000)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    options = parser.parse_args()
    print(f"{'':>6} {'fresh':>9} {f'on {options.before:,}':>12} {'ratio':>6}   CPU ms per item", flush=True)
    for side in options.sides:
        measure = {"server": server, "serve": serve, "client": client}[side]
        found = []
        for before in (0, options.before):
            with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
                found.append(measure(Path(folder), options.items, before))
        print(f"{side:>6} {found[0]:>9.2f} {found[1]:>12.2f} {found[1] / found[0]:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
