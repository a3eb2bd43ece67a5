-- What several machines share. What lies in git (records, files) stays there.

-- One row per account of a server.
CREATE TABLE contentops.account (
    id text PRIMARY KEY,                         -- `api.account`, or the server and the fingerprint of the key
    server text NOT NULL,
    fingerprint text NOT NULL,                   -- of the key: a worker serves the accounts whose key it has
    settings jsonb NOT NULL DEFAULT '{}',        -- how the server is spoken to, as the last deposit said
    restored_at timestamptz                      -- since then nobody knows all that was paid for
);

-- What was sent in the last minute, and until when all hold back.
CREATE TABLE contentops.limiter (
    account text PRIMARY KEY,
    state jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);

-- What was learned: how long jobs take, what the server does with ids and texts.
CREATE TABLE contentops.fact (
    account text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, name)
);

-- A process that works: alive while it holds the advisory lock of its number.
CREATE SEQUENCE contentops.runner_number AS int;
CREATE TABLE contentops.runner (
    number int PRIMARY KEY,
    kind text NOT NULL,                          -- apply or worker
    who text NOT NULL,                           -- user@host
    page text NOT NULL DEFAULT '',              -- the page of a CI run, if there is one
    started_at timestamptz NOT NULL DEFAULT now()
);

-- One row per submit: what was asked for, and what was paid for.
CREATE TABLE contentops.entry (
    request_id text PRIMARY KEY,
    account text NOT NULL,
    lineage text NOT NULL,
    environment text NOT NULL,
    project text NOT NULL DEFAULT '',            -- its name, for people
    item text NOT NULL,
    digest text NOT NULL,
    state text NOT NULL,
    line text NOT NULL DEFAULT '',               -- the entry as the lock spells it; empty: queued, and nothing sent yet
    work jsonb,                                  -- what a worker submits; null: only a checkout may submit it
    credits int NOT NULL DEFAULT 0,
    plan_id text NOT NULL DEFAULT '',
    who text NOT NULL DEFAULT '',                -- who deposited it
    rank bigint NOT NULL DEFAULT 0,              -- place within its project
    runner int,                                  -- who works on it
    taken boolean NOT NULL DEFAULT false,        -- nothing is open any more: a record in git carries it, or
    dropped boolean NOT NULL DEFAULT false,      -- nothing came of it, or a person let go of it
    cancelled boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('queued', 'submitting', 'running', 'unknown', 'paid', 'failed'))
);
CREATE INDEX entry_open ON contentops.entry (account, rank) WHERE state IN ('queued', 'submitting', 'running');
CREATE INDEX entry_project ON contentops.entry (lineage, environment) WHERE NOT taken;

-- The texts that were paid for.
CREATE TABLE contentops.text (
    request_id text PRIMARY KEY,
    account text NOT NULL,
    lineage text NOT NULL,
    server text NOT NULL,
    digest text NOT NULL,                        -- of the request
    item text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,                          -- digest of its words: what a plan needs to know of a text
    value text NOT NULL,                         -- all of it
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX text_request ON contentops.text (lineage, server, digest, made_at);

-- Who applies a project's environment, for messages; the right to do so is an advisory lock.
CREATE TABLE contentops.applying (
    lineage text NOT NULL,
    environment text NOT NULL,
    who text NOT NULL,
    page text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lineage, environment)
);
