-- Players' questions to the game's support, each with a channel of its own. `open` waits for the support since
-- `waiting_since`, `waiting` waits for the player, `closed` for nobody. `last_seq` is the last message that counted.
CREATE TABLE ticket (
    id             TEXT NOT NULL PRIMARY KEY,
    channel        TEXT NOT NULL UNIQUE,
    player_id      TEXT NOT NULL,
    topic          TEXT NOT NULL,
    context        TEXT,
    state          TEXT NOT NULL,
    claimed_by     TEXT,
    claimed_at     INTEGER NOT NULL DEFAULT 0,
    opened_at      INTEGER NOT NULL,
    waiting_since  INTEGER NOT NULL,
    first_reply_at INTEGER,
    closed_at      INTEGER,
    last_seq       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX ticket_queue ON ticket (state, waiting_since, id);
CREATE INDEX ticket_player ON ticket (player_id, opened_at);
