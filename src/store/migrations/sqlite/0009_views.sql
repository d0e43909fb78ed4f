-- What some see otherwise: entries that are hidden from all but one, and players whom somebody wants to see nothing of.
-- And where players have spoken, so that what one of them said is found without looking everywhere.

-- Which change an entry tells; null for a recall and for what somebody said. Only a recall has a `ref`, as a message has one
-- at most: what else is about a message names it in `shown` alone.
ALTER TABLE message ADD COLUMN change TEXT;

-- What one player sees of an entry where everybody else sees the message's `shown`.
CREATE TABLE own_view (
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    player_id   TEXT    NOT NULL,
    shown       TEXT    NOT NULL,
    -- `shadow` and `hide` for what somebody said, `change` for an entry about that.
    why         TEXT NOT NULL,
    PRIMARY KEY (channel_key, seq)
) WITHOUT ROWID;
CREATE INDEX own_view_player ON own_view (player_id);

-- `player_id` wants to see nothing of `blocked_id`.
CREATE TABLE block (
    player_id  TEXT    NOT NULL,
    blocked_id TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (player_id, blocked_id)
) WITHOUT ROWID;
CREATE INDEX block_blocked ON block (blocked_id);

-- Grows with each change of somebody's blocks, so that those which were read before need not be read again.
CREATE TABLE block_version (
    player_id TEXT    NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL
);

-- Where a player has spoken.
CREATE TABLE spoken_in (
    player_id   TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key)
) WITHOUT ROWID;

-- Entries that tell of a purge, so that a task that runs twice writes each once.
CREATE TABLE purge_entry (
    task_id     TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (task_id, channel_key)
) WITHOUT ROWID;

-- How far a slow task is, or what came of it, as JSON.
CREATE TABLE task_progress (
    task_id TEXT   NOT NULL PRIMARY KEY,
    said    TEXT   NOT NULL,
    at      INTEGER NOT NULL
);
CREATE INDEX task_progress_at ON task_progress (at);

-- When the filter refused something of a player's.
CREATE TABLE refusal (
    id        INTEGER PRIMARY KEY,
    player_id TEXT NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX refusal_player ON refusal (player_id, at);
CREATE INDEX refusal_at ON refusal (at);

-- Where something was said before this, a task fills in who spoke where.
INSERT INTO outbox (id, task, key, payload, created_at, not_before)
SELECT 'spoken.v1', 'spoken.v1', 'spoken', '{}', 0, 0 WHERE EXISTS (SELECT 1 FROM message);
