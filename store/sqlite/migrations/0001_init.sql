-- Times are UTC microseconds since 1970. NULL is the zero time. States and triggers are stored by name.

CREATE TABLE tasks (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,             -- what people read: the task's name, or its id
    kind         TEXT    NOT NULL,
    format       INTEGER NOT NULL,             -- version of definition; newer ones than the library knows are left alone
    definition   TEXT    NOT NULL,             -- the task as JSON
    labels       TEXT    NOT NULL,             -- JSON object, for queries
    priority     INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    paused       INTEGER NOT NULL,
    anchor_us    INTEGER,
    next_us      INTEGER,                      -- the occurrence that is owed
    last_us      INTEGER,                      -- the newest occurrence that has a fact
    delay_us     INTEGER NOT NULL,             -- wait after the end of a run, for fixed delays
    skip_run     TEXT    NOT NULL,             -- the open row of consecutive skips
    skip_reason  TEXT    NOT NULL,
    skip_by      TEXT    NOT NULL,
    skip_count   INTEGER NOT NULL,
    fault        TEXT    NOT NULL,             -- why the task was set aside; empty when it was not
    created_us   INTEGER NOT NULL,
    updated_us   INTEGER NOT NULL
) STRICT;

CREATE INDEX tasks_due ON tasks (kind, priority, next_us, id) WHERE next_us IS NOT NULL AND fault = '';
CREATE INDEX tasks_delayed ON tasks (id) WHERE delay_us > 0;

CREATE TABLE runs (
    id            TEXT    NOT NULL PRIMARY KEY,
    task_id       TEXT    NOT NULL,
    task_name     TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    trigger_      TEXT    NOT NULL,
    scheduled_us  INTEGER NOT NULL,
    until_us      INTEGER,
    count         INTEGER NOT NULL DEFAULT 1,
    attempt       INTEGER NOT NULL,
    state         TEXT    NOT NULL,
    due_us        INTEGER,                     -- of pending runs; NULL while they wait for the gate or their key
    key           TEXT    NOT NULL,            -- the concurrency key
    key_wait      INTEGER NOT NULL DEFAULT 0,  -- a pending run waits for its key
    priority      INTEGER NOT NULL,            -- the task's
    started_us    INTEGER,
    finished_us   INTEGER,
    output        TEXT    NOT NULL DEFAULT '',
    facts         TEXT    NOT NULL DEFAULT '',
    error         TEXT    NOT NULL DEFAULT '',
    stack         TEXT    NOT NULL DEFAULT '',
    reason        TEXT    NOT NULL DEFAULT '',
    blocked_by    TEXT    NOT NULL DEFAULT '',
    instance      TEXT    NOT NULL,
    session       TEXT    NOT NULL,
    revision      INTEGER NOT NULL,
    at_most_once  INTEGER NOT NULL,
    cancel        INTEGER NOT NULL DEFAULT 0,  -- somebody ordered the running attempt to be cancelled
    created_us    INTEGER NOT NULL,
    history       TEXT    NOT NULL DEFAULT ''  -- earlier attempts, JSON array
) STRICT, WITHOUT ROWID;

-- An occurrence is recorded once: by its schedule (or as catch-up), and once more by a backfill. SQLite compares with up to two values in a
-- list one by one; for more of them it would build a table anew for every row.
CREATE UNIQUE INDEX runs_occurrence ON runs (task_id, scheduled_us, trigger_ = 'backfill') WHERE trigger_ NOT IN ('register', 'manual');
CREATE INDEX runs_due     ON runs (kind, priority, due_us, id) WHERE state = 'pending' AND due_us IS NOT NULL;
CREATE INDEX runs_live    ON runs (state, task_id, id, session) WHERE state IN ('pending', 'running');
CREATE INDEX runs_key     ON runs (key, state, id) WHERE key <> '' AND state IN ('pending', 'running');
CREATE INDEX runs_task    ON runs (task_id, id);
CREATE INDEX runs_ended   ON runs (finished_us, id) WHERE state NOT IN ('pending', 'running');

CREATE TABLE sessions (
    id          TEXT    NOT NULL PRIMARY KEY,
    instance    TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    started_us  INTEGER NOT NULL,
    seen_us     INTEGER NOT NULL,
    expires_us  INTEGER NOT NULL,
    offset_us   INTEGER NOT NULL,              -- the instance's clock minus the store's
    in_flight   INTEGER NOT NULL,
    dead        INTEGER NOT NULL
) STRICT;

-- Counts the edits that other processes may want to know of, in its only row.
CREATE TABLE news (edits INTEGER NOT NULL) STRICT;
INSERT INTO news VALUES (0);
