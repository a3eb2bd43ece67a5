-- What several machines share. Records and files stay in git.

-- What was sent in the last minute, and until when all hold back.
CREATE TABLE contentops.limiter (
    account text PRIMARY KEY,                    -- the server, and `api.account` or a digest of the key
    state jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);

-- A process that applies: alive while it holds the advisory lock of its number.
CREATE SEQUENCE contentops.runner_number AS int;
CREATE TABLE contentops.runner (
    number int PRIMARY KEY,
    who text NOT NULL,                           -- user@host
    page text NOT NULL DEFAULT '',               -- the page of a CI run, if there is one
    started_at timestamptz NOT NULL DEFAULT now()
);

-- The lines of `contentops.jobs` of all environments: one row for an order and its job of the server.
CREATE TABLE contentops.job (
    lineage text NOT NULL,
    server text NOT NULL,
    request_id text NOT NULL,
    at text NOT NULL,                            -- the time of its intent, as in the line
    job text NOT NULL,                           -- of the server; empty: it has not accepted the order yet
    environment text NOT NULL,                   -- in which it was ordered
    state text NOT NULL,
    stage int NOT NULL,                          -- how far it is: the number of its state, and whether it is lost
    rev int NOT NULL,                            -- counts the changes of a line in one stage
    line text NOT NULL,                          -- as in the file
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lineage, server, request_id, at, job)
);

-- Who works on the orders of a request id. The claim of a runner that is not alive is free.
CREATE TABLE contentops.claim (
    lineage text NOT NULL,
    server text NOT NULL,
    request_id text NOT NULL,
    runner int,                                  -- none: the runner has released it
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lineage, server, request_id)
);
CREATE INDEX claim_runner ON contentops.claim (runner) WHERE runner IS NOT NULL;
