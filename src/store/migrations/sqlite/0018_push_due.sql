-- What a player has not been told yet: from a number of a channel on, up to the last that counts, and when it is looked at.
-- One task looks at all of a shard's players that are due, so it takes the place of `push_pending` with a task for each.
CREATE TABLE push_due (
    shard       INTEGER NOT NULL,
    player_id   TEXT NOT NULL,
    channel_key INTEGER NOT NULL,
    from_seq    INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key)
);
CREATE INDEX push_due_next ON push_due (shard, due_at);
