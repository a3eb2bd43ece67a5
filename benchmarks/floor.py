"""A minimal program that finds that no item has changed: the floor of `noop.py`, not a product.

    python benchmarks/floor.py set-up | plan | load | events

Run it in a project. `set-up` stores two tables: the digest of each id, and for the hash of each manifest the ids,
digests and outputs of its items. `plan` reads and hashes the manifests, compares the two tables, and checks that each
output exists. `load` reads the manifests with PyYAML's C loader, as a program without a cache would. `events` only
parses them into YAML events.
"""

import gc
import hashlib
import json
import os
import sqlite3
import sys
from pathlib import Path

KEPT = ".floor.db"


def set_up() -> None:
    """Store the two tables that `plan` compares."""
    with Path("contentops.lock").open(encoding="utf-8") as lock:
        records = {record["id"]: record for line in lock if (record := json.loads(line)).get("id")}
    connection = sqlite3.connect(KEPT)
    connection.execute("CREATE TABLE state (id TEXT PRIMARY KEY, digest TEXT)")
    connection.execute("CREATE TABLE manifest (hash TEXT PRIMARY KEY, rows TEXT)")
    connection.executemany("INSERT INTO state VALUES (?, ?)", ((id_, each["digest"]) for id_, each in records.items()))
    for path in manifests():
        data = path.read_bytes()
        ids = [line.split()[2] for line in data.decode().split("\n") if line.startswith("  - id: ")]
        rows = [(id_, records[id_]["digest"], records[id_]["output"]) for id_ in ids]
        connection.execute("INSERT INTO manifest VALUES (?, ?)", (hashlib.sha256(data).hexdigest(), json.dumps(rows)))
    connection.commit()


def plan() -> None:
    """Count the items that have not changed."""
    gc.disable()
    connection = sqlite3.connect(f"file:{KEPT}?mode=ro", uri=True)
    state = dict(connection.execute("SELECT id, digest FROM state"))
    rows = dict(connection.execute("SELECT hash, rows FROM manifest"))
    same, stat = 0, os.stat
    for path in manifests():
        found = rows[hashlib.sha256(path.read_bytes()).hexdigest()]
        for id_, digest, output in json.loads(found):
            if state[id_] == digest:
                stat(output)
                same += 1
    assert same == len(state)
    print(f"{same} unchanged", flush=True)
    os._exit(0)


def load() -> None:
    """Load every manifest with PyYAML's C loader, and keep the loaded data."""
    import yaml

    kept = []  # items of all files are compared with each other, so none can be let go of
    for path in manifests():
        with path.open("rb") as file:
            loaded = yaml.load(file, yaml.CSafeLoader)
        kept.append(loaded)


def events() -> None:
    """Parse every manifest with PyYAML's C parser, without building any data."""
    import yaml

    gc.disable()
    for path in manifests():
        for _ in yaml.parse(path.read_bytes(), yaml.CSafeLoader):
            pass


def manifests() -> list[Path]:
    """Return the paths of all manifests, sorted."""
    return sorted(Path("content").glob("*.yaml"))


if __name__ == "__main__":
    {"set-up": set_up, "plan": plan, "load": load, "events": events}[sys.argv[1]]()
