-- What grows for months is not read through any more: an index for each question that is asked often.

-- What runners hold, and what they let go of when they end.
CREATE INDEX entry_runner ON contentops.entry (runner, account, state) WHERE runner IS NOT NULL AND NOT taken;
-- Whether no one knows what became of a submit of an account: asked every few seconds.
CREATE INDEX entry_unknown ON contentops.entry (account) WHERE state = 'unknown' AND NOT taken AND NOT dropped;
-- Items by name, for people who cancel them.
CREATE INDEX entry_item ON contentops.entry (item) WHERE state IN ('queued', 'submitting', 'running') AND NOT taken;
-- What is queued or under way, and what is paid and on no record yet, of all projects.
CREATE INDEX entry_open ON contentops.entry (project, environment, state) WHERE NOT taken;
-- What went wrong, for an alarm.
CREATE INDEX entry_failure ON contentops.entry (changed_at)
    WHERE (state IN ('failed', 'unknown') OR error <> '') AND NOT taken;

CREATE OR REPLACE VIEW contentops.runner_alive AS
SELECT r.number, r.kind, r.who, r.page, r.started_at, coalesce(held.entries, 0) AS entries
FROM contentops.runner r
LEFT JOIN (
    SELECT runner, count(*) AS entries FROM contentops.entry
    WHERE runner IS NOT NULL AND NOT taken AND state IN ('queued', 'submitting', 'running')
    GROUP BY runner) held ON held.runner = r.number
WHERE r.number IN (
    SELECT objid::int FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1668248113 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));

CREATE OR REPLACE VIEW contentops.failure AS
SELECT changed_at, account, project, environment, item, state, who, request_id, error
FROM contentops.entry WHERE (state IN ('failed', 'unknown') OR error <> '') AND NOT taken;
COMMENT ON COLUMN contentops.failure.error IS 'Why no worker submits it, such as the server''s words; empty where it was sent';

-- Urgent submits go first, those of a rank in their order.
ALTER TABLE contentops.entry ADD COLUMN priority smallint NOT NULL DEFAULT 0;
DROP INDEX contentops.entry_free;
CREATE INDEX entry_free ON contentops.entry (account, priority DESC, rank)
    WHERE runner IS NULL AND state IN ('queued', 'submitting', 'running') AND NOT (cancelled OR taken) AND error = '';
