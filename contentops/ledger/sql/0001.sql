-- What several machines share. What lies in git (records, files) stays there.

-- One row per account of a server.
CREATE TABLE contentops.account (
    id text PRIMARY KEY,                         -- `api.account`, or the server and the fingerprint of the key
    server text NOT NULL,
    fingerprint text NOT NULL,                   -- of its keys, with spaces between: a worker serves the accounts whose key it has
    settings jsonb NOT NULL DEFAULT '{}',        -- how the server is spoken to, as the last deposit said
    restored_at timestamptz,                     -- since then no one knows all that was paid for
    seen_at timestamptz NOT NULL DEFAULT now()   -- when someone last worked for it, to the day
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
    error text NOT NULL DEFAULT '',              -- why no worker takes it, such as the server's words
    made_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('queued', 'submitting', 'running', 'unknown', 'paid', 'failed'))
);
-- What a worker may take, in its order; and what runners hold, by their numbers. One index over both would lead past
-- everything that is held on the way to what is free.
CREATE INDEX entry_free ON contentops.entry (account, rank)
    WHERE runner IS NULL AND state IN ('queued', 'submitting', 'running') AND NOT (cancelled OR taken) AND error = '';
CREATE INDEX entry_held ON contentops.entry (account, runner)
    WHERE runner IS NOT NULL AND state IN ('queued', 'submitting', 'running', 'unknown') AND NOT (cancelled OR taken)
    AND error = '';
-- Where the ranks of a project's next deposit begin.
CREATE INDEX entry_queued ON contentops.entry (lineage, environment, rank) WHERE state = 'queued';
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

-- For dashboards. No key, no text and no request stands in these views; what `ledger gc` let go of is not counted.
CREATE VIEW contentops.spend AS
SELECT (made_at AT TIME ZONE 'UTC')::date AS day, account, project, environment,
    count(*) FILTER (WHERE state IN ('running', 'paid')) AS submits,
    coalesce(sum(credits) FILTER (WHERE state IN ('running', 'paid')), 0)::bigint AS credits,
    coalesce(sum(credits) FILTER (WHERE state IN ('submitting', 'unknown')), 0)::bigint AS uncertain_credits
FROM contentops.entry
-- A text that was paid for was, also where it failed its checks and another one took its place.
WHERE state = 'paid' OR (state IN ('submitting', 'running', 'unknown') AND NOT dropped)
GROUP BY day, account, project, environment;
COMMENT ON VIEW contentops.spend IS 'What was paid for, by day, account, project and environment';
COMMENT ON COLUMN contentops.spend.day IS 'The day (UTC) on which it was submitted, or queued';
COMMENT ON COLUMN contentops.spend.account IS 'Who pays';
COMMENT ON COLUMN contentops.spend.project IS 'The name of the project';
COMMENT ON COLUMN contentops.spend.environment IS 'Its environment; empty: none';
COMMENT ON COLUMN contentops.spend.submits IS 'Jobs that the server took';
COMMENT ON COLUMN contentops.spend.credits IS 'Their published price';
COMMENT ON COLUMN contentops.spend.uncertain_credits IS 'The price of submits whose answer is not known yet';

CREATE VIEW contentops.backlog AS
SELECT account, project, environment,
    count(*) FILTER (WHERE state = 'queued' AND error = '') AS queued,
    count(*) FILTER (WHERE state IN ('submitting', 'running')) AS in_flight,
    count(*) FILTER (WHERE state = 'paid') AS unwritten,
    count(*) FILTER (WHERE state IN ('unknown', 'failed') OR error <> '') AS failures,
    coalesce(extract(epoch FROM now() - min(made_at) FILTER (WHERE state = 'queued')), 0)::bigint AS oldest_queued,
    coalesce(extract(epoch FROM now() - min(made_at) FILTER (WHERE state IN ('submitting', 'running'))), 0)::bigint
        AS oldest_in_flight
FROM contentops.entry WHERE NOT taken AND NOT cancelled
GROUP BY account, project, environment;
COMMENT ON VIEW contentops.backlog IS 'What is not done yet, by account, project and environment';
COMMENT ON COLUMN contentops.backlog.account IS 'Who pays';
COMMENT ON COLUMN contentops.backlog.project IS 'The name of the project';
COMMENT ON COLUMN contentops.backlog.environment IS 'Its environment; empty: none';
COMMENT ON COLUMN contentops.backlog.queued IS 'Submits that wait for a worker; nothing was sent';
COMMENT ON COLUMN contentops.backlog.in_flight IS 'Submits that leave now, and jobs that the server works on';
COMMENT ON COLUMN contentops.backlog.unwritten IS 'Paid texts that no checkout has written and recorded in git yet';
COMMENT ON COLUMN contentops.backlog.failures IS 'Jobs that failed, submits that were refused or of which no one knows whether they arrived';
COMMENT ON COLUMN contentops.backlog.oldest_queued IS 'Age in seconds of the oldest submit that waits';
COMMENT ON COLUMN contentops.backlog.oldest_in_flight IS 'Age in seconds of the oldest one in flight';

CREATE VIEW contentops.runner_alive AS
SELECT r.number, r.kind, r.who, r.page, r.started_at,
    (SELECT count(*) FROM contentops.entry e
        WHERE e.runner = r.number AND e.state IN ('queued', 'submitting', 'running')) AS entries
FROM contentops.runner r
WHERE r.number IN (
    SELECT objid::int FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1668248113 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
COMMENT ON VIEW contentops.runner_alive IS 'The processes that work now';
COMMENT ON COLUMN contentops.runner_alive.number IS 'Its number';
COMMENT ON COLUMN contentops.runner_alive.kind IS 'apply or worker';
COMMENT ON COLUMN contentops.runner_alive.who IS 'user@host';
COMMENT ON COLUMN contentops.runner_alive.page IS 'The page of its CI run, if there is one';
COMMENT ON COLUMN contentops.runner_alive.started_at IS 'Since when it works';
COMMENT ON COLUMN contentops.runner_alive.entries IS 'How many submits it holds';

CREATE VIEW contentops.failure AS
SELECT changed_at, account, project, environment, item, state, who, request_id
FROM contentops.entry WHERE (state IN ('failed', 'unknown') OR error <> '') AND NOT taken;
COMMENT ON VIEW contentops.failure IS 'Submits that failed or were refused, or of which no one knows whether they arrived';
COMMENT ON COLUMN contentops.failure.changed_at IS 'Since when';
COMMENT ON COLUMN contentops.failure.account IS 'Who pays';
COMMENT ON COLUMN contentops.failure.project IS 'The name of the project';
COMMENT ON COLUMN contentops.failure.environment IS 'Its environment; empty: none';
COMMENT ON COLUMN contentops.failure.item IS 'The item';
COMMENT ON COLUMN contentops.failure.state IS 'failed, unknown, or queued: the server refused it';
COMMENT ON COLUMN contentops.failure.who IS 'Who asked for it';
COMMENT ON COLUMN contentops.failure.request_id IS 'The id of the submit, for `contentops state resolve`';
