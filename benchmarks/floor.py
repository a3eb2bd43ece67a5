"""How little a plan without changes could do: the floor of `noop.py`, not a product.

    python benchmarks/floor.py set-up | plan | load | events

Run in a project. `set-up` keeps, by the hash of each manifest, the ids, fingerprints and outputs of its items, and the
fingerprints by id. `plan` reads and hashes the manifests, holds the two against each other and looks whether each
output is there. `load` reads the manifests with PyYAML's C loader, as a program would that knows nothing of before;
`events` parses them and makes nothing of it.
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
    """Keep what `plan` compares."""
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
    """Count what is unchanged."""
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
    """Parse every manifest."""
    import yaml

    kept = []  # items of all files are compared with each other, so none can be let go of
    for path in manifests():
        with path.open("rb") as file:
            loaded = yaml.load(file, yaml.CSafeLoader)
        kept.append(loaded)


def events() -> None:
    """What PyYAML's C parser says of every manifest."""
    import yaml

    gc.disable()
    for path in manifests():
        for _ in yaml.parse(path.read_bytes(), yaml.CSafeLoader):
            pass


def manifests() -> list[Path]:
    """The files that declare items."""
    return sorted(Path("content").glob("*.yaml"))


if __name__ == "__main__":
    {"set-up": set_up, "plan": plan, "load": load, "events": events}[sys.argv[1]]()
