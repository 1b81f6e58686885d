-- Times are UTC microseconds since 1970. NULL is the zero time. States and triggers are stored by name.
--
-- All other text is UTF-8 in binary columns, which compare byte by byte: no collation of the server can take two ids for one, not for
-- their case and not for spaces at their end. Every column has a default, or may be NULL, so that a statement may name only the ones
-- that it changes (see writeStatuses in apply.go).
--
-- A step that was cut short is carried out again from its beginning, so each statement has to be one that may be repeated.

CREATE TABLE IF NOT EXISTS {tasks} (
    id           VARBINARY(255)  NOT NULL PRIMARY KEY,
    name         VARBINARY(255)  NOT NULL DEFAULT '',  -- what people read: the task's name, or its id
    search       VARBINARY(1024) NOT NULL DEFAULT '',  -- id, newline, name, in lower case as far as it is ASCII
    kind         VARBINARY(255)  NOT NULL DEFAULT '',
    format       INT             NOT NULL DEFAULT 0,   -- version of definition; newer ones than the library knows are left alone
    definition   LONGBLOB,                             -- the task as JSON
    digest       VARBINARY(32)   NOT NULL DEFAULT '',  -- of definition, so that who has read it before need not read it again
    priority     INT             NOT NULL DEFAULT 0,
    revision     BIGINT          NOT NULL DEFAULT 0,
    paused       BOOLEAN         NOT NULL DEFAULT FALSE,
    anchor_us    BIGINT,
    next_us      BIGINT,                               -- the occurrence that is owed
    last_us      BIGINT,                               -- the newest occurrence that has a fact
    delay_us     BIGINT          NOT NULL DEFAULT 0,   -- wait after the end of a run, for fixed delays
    skip_run     VARBINARY(255)  NOT NULL DEFAULT '',  -- the open row of consecutive skips
    skip_reason  VARBINARY(255)  NOT NULL DEFAULT '',
    skip_by      VARBINARY(255)  NOT NULL DEFAULT '',
    skip_count   BIGINT          NOT NULL DEFAULT 0,
    fault        VARBINARY(2048) NOT NULL DEFAULT '',  -- why the task was set aside; empty when it was not
    created_us   BIGINT          NOT NULL DEFAULT 0,
    updated_us   BIGINT          NOT NULL DEFAULT 0,
    KEY tasks_due (kind, priority, next_us, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS {labels} (
    task_id  VARBINARY(255) NOT NULL,
    name     VARBINARY(255) NOT NULL,
    value    VARBINARY(255) NOT NULL,
    PRIMARY KEY (task_id, name),
    KEY labels_value (name, value, task_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS {runs} (
    id               VARBINARY(255) NOT NULL PRIMARY KEY,
    task_id          VARBINARY(255) NOT NULL DEFAULT '',
    task_name        VARBINARY(255) NOT NULL DEFAULT '',
    kind             VARBINARY(255) NOT NULL DEFAULT '',
    trigger_         ENUM ('schedule', 'register', 'manual', 'catch-up', 'backfill') NOT NULL DEFAULT 'schedule',
    scheduled_us     BIGINT         NOT NULL DEFAULT 0,
    occurrence_us    BIGINT,                               -- scheduled_us of a row that takes its occurrence
    backfill         BOOLEAN        NOT NULL DEFAULT FALSE,
    until_us         BIGINT,
    count            BIGINT         NOT NULL DEFAULT 1,
    attempt          INT            NOT NULL DEFAULT 0,
    state            ENUM ('pending', 'running', 'succeeded', 'failed', 'canceled', 'skipped', 'missed', 'lost') NOT NULL DEFAULT 'pending',
    due_us           BIGINT,                               -- of pending runs; NULL while they wait for the gate or their key
    concurrency_key  VARBINARY(255) NOT NULL DEFAULT '',
    key_wait         BOOLEAN        NOT NULL DEFAULT FALSE, -- a pending run waits for its key
    priority         INT            NOT NULL DEFAULT 0,    -- the task's
    started_us       BIGINT,
    finished_us      BIGINT,
    output           LONGBLOB,
    facts            LONGBLOB,
    error            LONGBLOB,
    stack            LONGBLOB,
    reason           VARBINARY(255) NOT NULL DEFAULT '',
    blocked_by       VARBINARY(255) NOT NULL DEFAULT '',
    instance         VARBINARY(255) NOT NULL DEFAULT '',
    session_id       VARBINARY(255) NOT NULL DEFAULT '',
    revision         BIGINT         NOT NULL DEFAULT 0,
    at_most_once     BOOLEAN        NOT NULL DEFAULT FALSE,
    cancel_ordered   BOOLEAN        NOT NULL DEFAULT FALSE, -- somebody ordered the running attempt to be cancelled
    created_us       BIGINT         NOT NULL DEFAULT 0,
    history          LONGBLOB,                             -- earlier attempts, JSON array
    UNIQUE KEY runs_occurrence (task_id, occurrence_us, backfill),
    KEY runs_due     (state, kind, priority, due_us, id),
    KEY runs_live    (task_id, state, id),
    KEY runs_task    (task_id, id),
    KEY runs_key     (concurrency_key, state, id),
    KEY runs_session (session_id, state, id),
    KEY runs_ended   (finished_us, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS {sessions} (
    id          VARBINARY(255) NOT NULL PRIMARY KEY,
    instance    VARBINARY(255) NOT NULL,
    version     VARBINARY(255) NOT NULL,
    started_us  BIGINT         NOT NULL,
    seen_us     BIGINT         NOT NULL,
    expires_us  BIGINT         NOT NULL,
    offset_us   BIGINT         NOT NULL,                   -- the instance's clock minus the store's
    in_flight   INT            NOT NULL,
    dead        BOOLEAN        NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;

-- Who counts the holders of a concurrency key, or passes it on, locks its row here: number CRC-32 (IEEE) of the key modulo 1024.
CREATE TABLE IF NOT EXISTS {locks} (
    slot  INT NOT NULL PRIMARY KEY
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;

INSERT IGNORE INTO {locks} (slot)
SELECT a.n + 4 * b.n + 16 * c.n + 64 * d.n + 256 * e.n
FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS a,
     (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS b,
     (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS c,
     (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS d,
     (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS e;

-- One row for each edit that others should know of. Rows are only added, so that edits do not wait for each other, and old ones removed.
CREATE TABLE IF NOT EXISTS {hints} (
    id  BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4;
