-- Times are UTC microseconds since 1970. NULL is the zero time. States and triggers are stored by name. Ids compare byte by byte, as
-- they do in Go. {schema} stands for the quoted name of the schema.

CREATE TABLE {schema}.tasks (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    name         text COLLATE "C" NOT NULL,     -- what people read: the task's name, or its id
    kind         text COLLATE "C" NOT NULL,
    format       integer NOT NULL,              -- version of definition; newer ones than the library knows are left alone
    definition   text    NOT NULL,              -- the task as JSON
    labels       jsonb   NOT NULL,              -- for queries
    key          text COLLATE "C" NOT NULL,     -- the concurrency key
    priority     smallint NOT NULL,
    revision     bigint  NOT NULL,
    paused       boolean NOT NULL,
    anchor_us    bigint,
    next_us      bigint,                        -- the occurrence that is owed
    last_us      bigint,                        -- the newest occurrence that has a fact
    delay_us     bigint  NOT NULL,              -- wait after the end of a run, for fixed delays
    skip_run     text    NOT NULL,              -- the open row of consecutive skips
    skip_reason  text    NOT NULL,
    skip_by      text    NOT NULL,
    skip_count   bigint  NOT NULL,
    fault        text    NOT NULL,              -- why the task was set aside; empty when it was not
    created_us   bigint  NOT NULL,
    updated_us   bigint  NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);

CREATE INDEX tasks_due ON {schema}.tasks (kind, priority, next_us, id) WHERE next_us IS NOT NULL AND fault = '';
CREATE INDEX tasks_delayed ON {schema}.tasks (delay_us) WHERE delay_us > 0;

-- A run is live until it ends: pending or running. Live runs have a small table of their own, so that what is looked at for every claim stays
-- small whatever the ledger holds. When a run ends, its row moves to ended_runs, which is only added to.
CREATE TABLE {schema}.live_runs (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    task_id       text COLLATE "C" NOT NULL,
    task_name     text    NOT NULL,
    kind          text COLLATE "C" NOT NULL,
    trigger_      text COLLATE "C" NOT NULL,
    scheduled_us  bigint  NOT NULL,
    until_us      bigint,
    count         bigint  NOT NULL DEFAULT 1,
    attempt       integer NOT NULL,
    state         text COLLATE "C" NOT NULL,
    due_us        bigint,                       -- of pending runs; NULL while they wait for the gate or their key
    key           text COLLATE "C" NOT NULL,    -- the concurrency key
    key_wait      boolean NOT NULL DEFAULT false, -- a pending run waits for its key
    started_us    bigint,
    finished_us   bigint,
    output        text    NOT NULL DEFAULT '',
    facts         text    NOT NULL DEFAULT '',
    error         text    NOT NULL DEFAULT '',
    stack         text    NOT NULL DEFAULT '',
    reason        text    NOT NULL DEFAULT '',
    blocked_by    text    NOT NULL DEFAULT '',
    instance      text    NOT NULL,
    session       text COLLATE "C" NOT NULL,
    revision      bigint  NOT NULL,
    at_most_once  boolean NOT NULL,
    cancel        boolean NOT NULL DEFAULT false, -- somebody ordered the running attempt to be cancelled
    created_us    bigint  NOT NULL,
    history       text    NOT NULL DEFAULT '',  -- earlier attempts, JSON array
    priority      smallint NOT NULL DEFAULT 0   -- the task's
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);

CREATE TABLE {schema}.ended_runs (LIKE {schema}.live_runs INCLUDING DEFAULTS);

-- What the ledger says of all runs, live and ended.
CREATE VIEW {schema}.runs AS SELECT * FROM {schema}.live_runs UNION ALL SELECT * FROM {schema}.ended_runs;

-- An occurrence is recorded once: by its schedule (or as catch-up), and once more by a backfill. Other runs are as unique as their id.
CREATE UNIQUE INDEX live_occurrence ON {schema}.live_runs (task_id, scheduled_us,
    (CASE WHEN trigger_ IN ('schedule', 'catch-up') THEN '' WHEN trigger_ = 'backfill' THEN 'backfill' ELSE id END));
CREATE INDEX live_due ON {schema}.live_runs (kind, priority, due_us, id) WHERE state = 'pending' AND due_us IS NOT NULL;
CREATE INDEX live_waiting ON {schema}.live_runs (task_id, id) WHERE state = 'pending' AND due_us IS NULL AND NOT key_wait;
CREATE INDEX live_key ON {schema}.live_runs (key, id) WHERE key <> '';

ALTER TABLE {schema}.ended_runs ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ended_occurrence ON {schema}.ended_runs (task_id, scheduled_us,
    (CASE WHEN trigger_ IN ('schedule', 'catch-up') THEN '' WHEN trigger_ = 'backfill' THEN 'backfill' ELSE id END));
-- What lists runs of a task says id > '' and gets this index. What asks for an occurrence does not, so no plan can mistake this index for the
-- one above and read all that the task has ever done.
CREATE INDEX ended_task ON {schema}.ended_runs (task_id, id) WHERE id > '';

CREATE TABLE {schema}.sessions (
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    instance    text COLLATE "C" NOT NULL,
    version     text    NOT NULL,
    started_us  bigint  NOT NULL,
    seen_us     bigint  NOT NULL,
    expires_us  bigint  NOT NULL,
    offset_us   bigint  NOT NULL,               -- the instance's clock minus the store's
    in_flight   integer NOT NULL,
    dead        boolean NOT NULL
) WITH (fillfactor = 50);

-- Who looks at a concurrency key, or passes it on, holds the row of the key's slot until the end of the transaction. A fixed number of
-- rows needs no cleaning and, unlike advisory locks, no shared memory.
CREATE TABLE {schema}.key_slots (slot integer NOT NULL PRIMARY KEY) WITH (fillfactor = 50);
INSERT INTO {schema}.key_slots SELECT generate_series(0, 1023);
