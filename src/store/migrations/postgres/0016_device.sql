-- Players' devices, by a hash of what the provider calls each; zone, level and language are those of the last register.
-- `push_pending` is what a player has not been told yet: from a number of a channel on, up to the last that counts.
CREATE TABLE device (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    player_id     TEXT COLLATE "C" NOT NULL,
    platform      TEXT COLLATE "C" NOT NULL,
    token         TEXT NOT NULL,
    language      TEXT COLLATE "C",
    zone          TEXT COLLATE "C",
    level         BIGINT NOT NULL,
    quiet         TEXT,
    topic         TEXT,
    sandbox       BOOLEAN NOT NULL,
    registered_at BIGINT NOT NULL
);
CREATE INDEX device_player ON device (player_id);
CREATE TABLE device_preference (
    player_id  TEXT COLLATE "C" NOT NULL,
    channel    TEXT COLLATE "C" NOT NULL,
    notify     TEXT COLLATE "C" NOT NULL,
    mute_until BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel)
);
CREATE TABLE push_pending (
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    from_seq    BIGINT NOT NULL,
    last_seq    BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key)
);
