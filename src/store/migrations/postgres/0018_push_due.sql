-- What a player has not been told yet: from a number of a channel on, up to the last that counts, and when it is looked at.
-- One task looks at all of a shard's players that are due, so it takes the place of `push_pending` with a task for each.
CREATE TABLE push_due (
    shard       BIGINT NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    from_seq    BIGINT NOT NULL,
    last_seq    BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    tries       BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key)
);
CREATE INDEX push_due_next ON push_due (shard, due_at);
