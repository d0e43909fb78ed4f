-- What is to be run at a time, or again and again. `next_at` is when it is due next; none where it is over. Each time it was
-- due is an `occurrence`, written in the transaction that enqueues its task: once, however many workers there are.
CREATE TABLE schedule (
    id         TEXT NOT NULL PRIMARY KEY,
    task       TEXT NOT NULL,
    key        TEXT NOT NULL,
    payload    TEXT NOT NULL,
    cron       TEXT,
    zone       TEXT,
    until      INTEGER,
    next_at    INTEGER,
    state      TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    stage      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (stage, next_at) WHERE state = 'planned';
CREATE INDEX schedule_created ON schedule (created_at, id);
CREATE TABLE occurrence (
    schedule_id TEXT NOT NULL,
    due_at      INTEGER NOT NULL,
    PRIMARY KEY (schedule_id, due_at)
) WITHOUT ROWID;
CREATE INDEX occurrence_due ON occurrence (due_at);

-- What the game says to many. `texts` and `audience` are JSON; `state` is planned, running, done or cancelled. To players
-- nothing is written for each: an `announced` row says since when and until when it is shown to all whom it concerns.
CREATE TABLE announcement (
    id          TEXT NOT NULL PRIMARY KEY,
    texts       TEXT NOT NULL,
    audience    TEXT NOT NULL,
    push        BOOLEAN NOT NULL,
    show_ms     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    reached     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX announcement_created ON announcement (created_at, id);
CREATE TABLE announced (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    announcement_id TEXT NOT NULL,
    due_at          INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    until           INTEGER NOT NULL,
    UNIQUE (announcement_id, due_at)
);
CREATE INDEX announced_until ON announced (until);
