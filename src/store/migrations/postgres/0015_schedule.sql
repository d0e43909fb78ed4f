-- What is to be run at a time, or again and again. `next_at` is when it is due next; none where it is over. Each time it was
-- due is an `occurrence`, written in the transaction that enqueues its task: once, however many workers there are.
CREATE TABLE schedule (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    task       TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    payload    TEXT NOT NULL,
    cron       TEXT,
    zone       TEXT,
    until      BIGINT,
    next_at    BIGINT,
    state      TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    digest     TEXT NOT NULL,
    stage      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX schedule_due ON schedule (stage, next_at) WHERE state = 'planned';
CREATE INDEX schedule_created ON schedule (created_at, id);
CREATE TABLE occurrence (
    schedule_id TEXT COLLATE "C" NOT NULL,
    due_at      BIGINT NOT NULL,
    PRIMARY KEY (schedule_id, due_at)
);
CREATE INDEX occurrence_due ON occurrence (due_at);

-- What the game says to many. `texts` and `audience` are JSON; `state` is planned, running, done or cancelled. To players
-- nothing is written for each: an `announced` row says since when and until when it is shown to all whom it concerns.
CREATE TABLE announcement (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    texts       TEXT NOT NULL,
    audience    TEXT NOT NULL,
    push        BOOLEAN NOT NULL,
    show_ms     BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    schedule_id TEXT COLLATE "C" NOT NULL,
    created_by  TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    reached     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX announcement_created ON announcement (created_at, id);
CREATE TABLE announced (
    number          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    announcement_id TEXT COLLATE "C" NOT NULL,
    due_at          BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    until           BIGINT NOT NULL,
    UNIQUE (announcement_id, due_at)
);
CREATE INDEX announced_until ON announced (until);
