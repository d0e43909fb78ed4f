-- Players' devices, by a hash of what the provider calls each; zone, level and language are those of the last register.
-- `push_pending` is what a player has not been told yet: from a number of a channel on, up to the last that counts.
CREATE TABLE device (
    id            TEXT NOT NULL PRIMARY KEY,
    player_id     TEXT NOT NULL,
    platform      TEXT NOT NULL,
    token         TEXT NOT NULL,
    language      TEXT,
    zone          TEXT,
    level         INTEGER NOT NULL,
    quiet         TEXT,
    topic         TEXT,
    sandbox       BOOLEAN NOT NULL,
    registered_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX device_player ON device (player_id);
CREATE TABLE device_preference (
    player_id  TEXT NOT NULL,
    channel    TEXT NOT NULL,
    notify     TEXT NOT NULL,
    mute_until INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel)
) WITHOUT ROWID;
CREATE TABLE push_pending (
    player_id   TEXT NOT NULL,
    channel_key INTEGER NOT NULL,
    from_seq    INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key)
) WITHOUT ROWID;
