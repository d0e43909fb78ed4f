-- Channels, members, messages and the outbox in PostgreSQL.
--
-- The same tables as the embedded default's; what the columns mean is said there too. Times are milliseconds since
-- the epoch. Ids compare by their bytes ("C"), as they do in SQLite and in the program. Rows that change with
-- every message leave room in their page (fillfactor), so that a change touches no index.

CREATE TABLE channel (
    key          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           TEXT COLLATE "C" NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    name         TEXT,
    open         BOOLEAN NOT NULL,
    min_level    BIGINT  NOT NULL,
    slow_mode_s  BIGINT  NOT NULL,
    read_only    BOOLEAN NOT NULL,
    -- The two players of a direct channel, sorted and joined by a space: there is one such channel at most.
    pair         TEXT COLLATE "C" UNIQUE,
    -- A hash of what was asked for at creation, so that the same call twice is no conflict.
    digest       TEXT    NOT NULL,
    epoch        TEXT    NOT NULL,
    -- The counter that numbers messages. Whoever raises it holds the row until the commit, so numbers become visible
    -- in their order.
    last_seq     BIGINT  NOT NULL DEFAULT 0,
    last_said    BIGINT  NOT NULL DEFAULT 0,
    first_seq    BIGINT  NOT NULL DEFAULT 1,
    member_count BIGINT  NOT NULL DEFAULT 0,
    created_at   BIGINT  NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE member (
    channel_key  BIGINT NOT NULL,
    player_id    TEXT COLLATE "C" NOT NULL,
    joined_at    BIGINT NOT NULL,
    read_seq     BIGINT NOT NULL,
    read_said    BIGINT NOT NULL,
    last_sent_at BIGINT,
    PRIMARY KEY (channel_key, player_id)
) WITH (fillfactor = 60);

CREATE INDEX member_player ON member (player_id, channel_key);

CREATE TABLE message (
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    said        BIGINT NOT NULL,
    sender_id   TEXT COLLATE "C" NOT NULL,
    sent_at     BIGINT NOT NULL,
    ref         BIGINT,
    -- The message as the JSON that is served. TEXT rather than JSONB: it is never looked into.
    shown       TEXT   NOT NULL,
    original    TEXT,
    wordlist    TEXT,
    nonce       TEXT COLLATE "C",
    digest      TEXT,
    PRIMARY KEY (channel_key, seq)
);

CREATE UNIQUE INDEX message_nonce ON message (channel_key, sender_id, nonce) WHERE nonce IS NOT NULL;
CREATE UNIQUE INDEX message_ref ON message (channel_key, ref) WHERE ref IS NOT NULL;

CREATE TABLE mention (
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key, seq)
);

CREATE INDEX mention_message ON mention (channel_key, seq);

-- When each player last spoke. The version changes with every change, so that two sends at one moment, in two
-- instances, can't both count on the same allowance.
CREATE TABLE pace (
    player_id TEXT COLLATE "C" PRIMARY KEY,
    recent    TEXT   NOT NULL,
    version   BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    id           TEXT COLLATE "C" PRIMARY KEY,
    task         TEXT   NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    payload      TEXT   NOT NULL,
    attempt      BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    not_before   BIGINT NOT NULL,
    trace        TEXT,
    state        TEXT   NOT NULL DEFAULT 'ready',
    leased_until BIGINT NOT NULL DEFAULT 0,
    -- When it was handed to the broker; 0 for never, or not since the last try.
    published_at BIGINT NOT NULL DEFAULT 0,
    finished_at  BIGINT,
    reason       TEXT
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX outbox_ready ON outbox (not_before, id) WHERE state = 'ready';
CREATE INDEX outbox_key ON outbox (key) WHERE state = 'ready';
CREATE INDEX outbox_sent ON outbox (published_at) WHERE state = 'sent';
CREATE INDEX outbox_leased ON outbox (leased_until) WHERE state = 'sent' AND leased_until > 0;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state IN ('done', 'dead');

CREATE TABLE wordlist_hit (
    category TEXT COLLATE "C" NOT NULL,
    entry    TEXT COLLATE "C" NOT NULL,
    hits     BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (category, entry)
);

CREATE INDEX wordlist_hit_count ON wordlist_hit (hits DESC);
