-- Players' questions to the game's support, each with a channel of its own. `open` waits for the support since
-- `waiting_since`, `waiting` waits for the player, `closed` for nobody. `last_seq` is the last message that counted.
CREATE TABLE ticket (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    channel        TEXT COLLATE "C" NOT NULL UNIQUE,
    player_id      TEXT COLLATE "C" NOT NULL,
    topic          TEXT NOT NULL,
    context        TEXT,
    state          TEXT COLLATE "C" NOT NULL,
    claimed_by     TEXT COLLATE "C",
    claimed_at     BIGINT NOT NULL DEFAULT 0,
    opened_at      BIGINT NOT NULL,
    waiting_since  BIGINT NOT NULL,
    first_reply_at BIGINT,
    closed_at      BIGINT,
    last_seq       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX ticket_queue ON ticket (state, waiting_since, id);
CREATE INDEX ticket_player ON ticket (player_id, opened_at);
