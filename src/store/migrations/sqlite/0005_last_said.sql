-- When something last happened in a channel: an inbox is sorted by it, and no later message is dated before it, whatever
-- the clock does. 0 for channels in which nothing happened since this column is there; the first sweep fills those in.
ALTER TABLE channel ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;

-- Up to which time retention has deleted: one row. It goes forward by a day at most, so that a clock that is wrong for a
-- moment empties no channel.
CREATE TABLE retention (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    until INTEGER NOT NULL
);

-- Written to see whether writing works.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
);
