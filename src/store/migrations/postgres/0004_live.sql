-- Whose rights to read have changed: who joined or left a channel. Processes that hold sockets read it twice a second, by
-- its growing id, so it tells of what other processes did. The daily sweep deletes what is older than an hour.
CREATE TABLE right_change (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_key BIGINT NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    changed_at  BIGINT NOT NULL
);

-- Processes that hold sockets. Each says every twenty seconds that it lives; one that was silent for a minute is gone.
CREATE TABLE process (
    id      TEXT PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

-- Which players have a socket in which process.
CREATE TABLE online (
    player_id  TEXT COLLATE "C" NOT NULL,
    process_id TEXT NOT NULL,
    PRIMARY KEY (player_id, process_id)
);
CREATE INDEX online_by_process ON online (process_id);
