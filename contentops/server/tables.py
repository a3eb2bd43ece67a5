"""The tables of a store, in the SQL of SQLite; `postgres` translates the names of types."""

from __future__ import annotations

VERSION = 3
"""Of the tables; a higher one in a store means a newer release made it, a lower one is brought up to date."""

JOBS = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL, key_id TEXT NOT NULL,
    request TEXT NOT NULL, fingerprint TEXT NOT NULL, idempotency_key TEXT,
    status TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '', progress INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '', content_id TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL, finished_at REAL, credits INTEGER NOT NULL DEFAULT 0,
    UNIQUE (key_id, id), UNIQUE (key_id, owner, idempotency_key)
);
CREATE INDEX jobs_under_way ON jobs (key_id, credits) WHERE finished_at IS NULL;
CREATE TABLE charges (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, key_id TEXT NOT NULL,
    mode TEXT NOT NULL, credits INTEGER NOT NULL, charged_at REAL NOT NULL, UNIQUE (key_id, job_id)
);
CREATE INDEX charges_by_key ON charges (key_id);
"""

# Counting rows would cost more with every row there ever was: `Store.tally` counts as they come and go.
INDEXES = """
CREATE INDEX contents_newest ON contents (key_id, created_at DESC, number DESC);
CREATE INDEX contents_changed ON contents (key_id, updated_at DESC, number DESC);
CREATE TABLE tallies (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind, name, owner)
) WITHOUT ROWID;
"""

TABLES = f"""{JOBS}
CREATE TABLE contents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    title TEXT NOT NULL, body TEXT NOT NULL, html TEXT, status TEXT NOT NULL, type TEXT NOT NULL,
    metadata TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    key_id TEXT NOT NULL DEFAULT ''
);
CREATE TABLE versions (
    content_id TEXT NOT NULL, version INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, html TEXT,
    status TEXT NOT NULL, metadata TEXT NOT NULL, replaced_at REAL NOT NULL,
    PRIMARY KEY (content_id, version)
);
CREATE TABLE keys (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, created_at REAL NOT NULL, revoked_at REAL,
    credits INTEGER, modes TEXT NOT NULL DEFAULT ''
);
{INDEXES}"""
