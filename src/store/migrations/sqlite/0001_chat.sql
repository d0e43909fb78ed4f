-- Channels, members, messages and the outbox of the embedded default.
--
-- Times are milliseconds since the epoch. Lists and payloads are JSON text. `key` is a channel's number
-- inside this database: it keeps the large table's key short, and is shown to nobody.

CREATE TABLE channel (
    key          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    name         TEXT,
    open         INTEGER NOT NULL,
    min_level    INTEGER NOT NULL,
    slow_mode_s  INTEGER NOT NULL,
    read_only    INTEGER NOT NULL,
    -- The two players of a direct channel, sorted and joined by a space: there is one such channel at most.
    pair         TEXT UNIQUE,
    -- A hash of what was asked for at creation, so that the same call twice is no conflict.
    digest       TEXT    NOT NULL,
    -- Another epoch means that the numbering started over.
    epoch        TEXT    NOT NULL,
    -- The counter that numbers messages; it never goes back, not even when messages are deleted.
    last_seq     INTEGER NOT NULL DEFAULT 0,
    -- How many of those were said by somebody rather than changes: what "unread" counts.
    last_said    INTEGER NOT NULL DEFAULT 0,
    -- Where history begins; rises when old messages are deleted.
    first_seq    INTEGER NOT NULL DEFAULT 1,
    member_count INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL
);

CREATE TABLE member (
    channel_key  INTEGER NOT NULL,
    player_id    TEXT    NOT NULL,
    joined_at    INTEGER NOT NULL,
    -- How far the player has read, as a seq and as a count of things said: unread is a subtraction.
    read_seq     INTEGER NOT NULL,
    read_said    INTEGER NOT NULL,
    -- When the player last spoke here; written only while the channel has a slow mode.
    last_sent_at INTEGER,
    PRIMARY KEY (channel_key, player_id)
) WITHOUT ROWID;

CREATE INDEX member_player ON member (player_id, channel_key);

-- Ordered by channel and number, because that is how it is read: a page is one range of this tree.
--
-- What everybody sees is stored as the JSON that is served, so a page is these texts joined by commas: reading
-- one column of 50 rows instead of eleven takes a fifth of the time. Nothing is kept twice for it but the few
-- values that SQL itself asks about.
CREATE TABLE message (
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    -- How many things had been said in the channel up to here.
    said        INTEGER NOT NULL,
    sender_id   TEXT    NOT NULL,
    sent_at     INTEGER NOT NULL,
    -- The message that a change is about; null for what somebody said.
    ref         INTEGER,
    -- The message as JSON, blocked words masked.
    shown       TEXT    NOT NULL,
    -- What the sender wrote, as {text, payload}, where others see something else; for moderators only.
    original    TEXT,
    -- The version of the wordlist that judged it.
    wordlist    TEXT,
    nonce       TEXT,
    -- A hash of what the client sent: the same nonce with other content is a conflict.
    digest      TEXT,
    PRIMARY KEY (channel_key, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX message_nonce ON message (channel_key, sender_id, nonce) WHERE nonce IS NOT NULL;

-- A message is recalled once.
CREATE UNIQUE INDEX message_ref ON message (channel_key, ref) WHERE ref IS NOT NULL;

-- Mentions that were not read yet; reading deletes them, so counting them is cheap.
CREATE TABLE mention (
    player_id   TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key, seq)
) WITHOUT ROWID;

CREATE INDEX mention_message ON mention (channel_key, seq);

-- When each player last spoke, oldest first, as many times as the send limit counts.
CREATE TABLE pace (
    player_id TEXT PRIMARY KEY,
    recent    TEXT NOT NULL
) WITHOUT ROWID;

-- Tasks, stored with what caused them. Done ones stay a while, so that a second delivery has no effect.
CREATE TABLE outbox (
    id           TEXT PRIMARY KEY,
    task         TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    payload      TEXT    NOT NULL,
    attempt      INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    trace        TEXT,
    -- ready, done or dead
    state        TEXT    NOT NULL DEFAULT 'ready',
    -- A worker has it until then; after that another may take it.
    leased_until INTEGER NOT NULL DEFAULT 0,
    finished_at  INTEGER,
    -- Why the last attempt failed.
    reason       TEXT
) WITHOUT ROWID;

CREATE INDEX outbox_ready ON outbox (not_before, id) WHERE state = 'ready';
CREATE INDEX outbox_key ON outbox (key) WHERE state = 'ready';
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'ready';
