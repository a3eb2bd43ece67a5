-- What several machines share. Records and files stay in git.

-- One row per account of a server.
CREATE TABLE contentops.account (
    id text PRIMARY KEY,                         -- `api.account`, or the server and the fingerprint of the key
    server text NOT NULL,
    fingerprint text NOT NULL,                   -- of its keys, with spaces between
    per_minute int NOT NULL                      -- `api.requests_per_minute`, as the last apply said
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
    PRIMARY KEY (account, name)
);

-- A process that applies: alive while it holds the advisory lock of its number.
CREATE SEQUENCE contentops.runner_number AS int;
CREATE TABLE contentops.runner (
    number int PRIMARY KEY,
    who text NOT NULL,                           -- user@host
    page text NOT NULL DEFAULT '',               -- the page of a CI run, if there is one
    started_at timestamptz NOT NULL DEFAULT now()
);

-- One row per submit: what was asked for, and what was paid for.
CREATE TABLE contentops.entry (
    request_id text PRIMARY KEY,
    lineage text NOT NULL,
    environment text NOT NULL,
    item text NOT NULL,
    state text NOT NULL,
    line text NOT NULL,                          -- the entry as the lock writes it
    runner int,                                  -- the process that works on it
    taken boolean NOT NULL DEFAULT false,        -- a record in git has it, or it was dropped
    dropped boolean NOT NULL DEFAULT false,      -- it never arrived, or a person gave it up
    made_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('submitting', 'running', 'unknown', 'paid', 'failed'))
);
CREATE INDEX entry_project ON contentops.entry (lineage, environment) WHERE NOT taken;
-- What runners have claimed, and release when they end.
CREATE INDEX entry_runner ON contentops.entry (runner) WHERE runner IS NOT NULL AND NOT taken;

-- The texts that were paid for.
CREATE TABLE contentops.text (
    request_id text PRIMARY KEY,
    lineage text NOT NULL,
    server text NOT NULL,
    digest text NOT NULL,                        -- of the request
    item text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,                          -- the digest of its words
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
