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
    created_at   BIGINT  NOT NULL,
    -- When something last happened here: an inbox is sorted by it, and no later message is dated before it, whatever
    -- the clock does.
    last_at      BIGINT  NOT NULL DEFAULT 0,
    -- No later than its oldest message, and null where it has none. Retention finds by it what is too old.
    oldest_at    BIGINT,
    -- How strict the word filter is here, as JSON; null where it is as for all of its kind.
    filter       TEXT
) WITH (fillfactor = 20);

CREATE INDEX channel_oldest ON channel (kind, oldest_at) WHERE oldest_at IS NOT NULL;
-- Channels of a kind, for what is said in all of them.
CREATE INDEX channel_kind ON channel (kind, key);

CREATE TABLE member (
    channel_key  BIGINT NOT NULL,
    player_id    TEXT COLLATE "C" NOT NULL,
    joined_at    BIGINT NOT NULL,
    read_seq     BIGINT NOT NULL,
    read_said    BIGINT NOT NULL,
    last_sent_at BIGINT,
    -- What a member is besides: `officer` keeps order in this channel. Null for most.
    role         TEXT,
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
    -- Which change an entry tells; null for a recall and for what somebody said. Only a recall has a `ref`, as a message
    -- has one at most: what else is about a message names it in `shown` alone.
    change      TEXT,
    PRIMARY KEY (channel_key, seq)
);

CREATE UNIQUE INDEX message_nonce ON message (channel_key, sender_id, nonce) INCLUDE (seq) WHERE nonce IS NOT NULL;
CREATE UNIQUE INDEX message_ref ON message (channel_key, ref) WHERE ref IS NOT NULL;

CREATE TABLE mention (
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key, seq)
);

CREATE INDEX mention_message ON mention (channel_key, seq);

CREATE TABLE mentioned_in (
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key, seq)
);

CREATE INDEX mentioned_in_message ON mentioned_in (channel_key, seq);

-- When each player last spoke. The version changes with every change, so that two sends at one moment, in two
-- instances, can't both count on the same allowance.
CREATE TABLE pace (
    player_id TEXT COLLATE "C" PRIMARY KEY,
    recent    TEXT   NOT NULL,
    version   BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    n             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            TEXT COLLATE "C" NOT NULL UNIQUE,
    task          TEXT COLLATE "C" NOT NULL,
    key           TEXT COLLATE "C" NOT NULL,
    payload       TEXT    NOT NULL,
    attempt       BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    since         BIGINT NOT NULL,
    not_before    BIGINT NOT NULL,
    place         BIGINT NOT NULL DEFAULT 0,
    trace         TEXT,
    published_at  BIGINT NOT NULL DEFAULT 0,
    faults        BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    reason        TEXT,
    stage         TEXT COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX outbox_order ON outbox (key, stage, place, n);
CREATE INDEX outbox_task ON outbox (stage, task, since);

CREATE TABLE outbox_open (
    stage TEXT COLLATE "C" NOT NULL,
    n     BIGINT NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (stage, n)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE outbox_key (
    stage     TEXT COLLATE "C" NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    place     BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,
    hold      TEXT    NOT NULL DEFAULT '',
    was       TEXT    NOT NULL DEFAULT '',
    holder    TEXT    NOT NULL DEFAULT '',
    relay     TEXT    NOT NULL DEFAULT '',
    relay_until BIGINT NOT NULL DEFAULT 0,
    marked    BIGINT NOT NULL DEFAULT 0,
    parked_at BIGINT,
    reason    TEXT,
    PRIMARY KEY (key, stage)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX outbox_key_due ON outbox_key (stage, marked, task, due_at);
CREATE INDEX outbox_key_next ON outbox_key (stage, due_at) WHERE marked = 0;
CREATE INDEX outbox_key_parked ON outbox_key (stage, parked_at) WHERE parked_at IS NOT NULL;
-- Those that somebody works on, or that a broker has something of: few, however many wait.
CREATE INDEX outbox_key_held ON outbox_key (stage, key) WHERE hold <> '';

CREATE TABLE outbox_dead (
    id          TEXT COLLATE "C" PRIMARY KEY,
    task        TEXT COLLATE "C" NOT NULL,
    key         TEXT COLLATE "C" NOT NULL,
    payload     TEXT    NOT NULL,
    attempt     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    trace       TEXT,
    finished_at BIGINT NOT NULL,
    reason      TEXT,
    stage       TEXT COLLATE "C" NOT NULL,
    -- Its place in the order of its key, for those that are made ready again together.
    n           BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX outbox_dead_task ON outbox_dead (stage, task, finished_at, n);
CREATE INDEX outbox_dead_last ON outbox_dead (stage, finished_at);
CREATE INDEX outbox_dead_key ON outbox_dead (key);

CREATE TABLE outbox_done (
    id          TEXT COLLATE "C" PRIMARY KEY,
    task        TEXT COLLATE "C" NOT NULL,
    key_digest  TEXT    NOT NULL,
    attempt     BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    stage       TEXT COLLATE "C" NOT NULL
);

CREATE INDEX outbox_done_last ON outbox_done (finished_at);

CREATE TABLE wordlist_hit (
    category TEXT COLLATE "C" NOT NULL,
    entry    TEXT COLLATE "C" NOT NULL,
    hits     BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (category, entry)
);

CREATE INDEX wordlist_hit_count ON wordlist_hit (hits DESC);

-- Up to which time retention has deleted all that is too old: a row for each part, and one, with no name, for how far it
-- believes the clock. That one goes forward by a day at most, so that a clock that is wrong for a moment empties no channel.
CREATE TABLE retention (
    part  TEXT COLLATE "C" PRIMARY KEY,
    until BIGINT NOT NULL
);

-- Written to see whether writing works.
CREATE TABLE pulse (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL
);

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
CREATE INDEX online_by_process ON online (process_id, player_id);

-- Sanctions, and the audit. Times are milliseconds since the epoch; people are named by the keys under which their
-- messages are stored.

CREATE TABLE sanction (
    -- Sorts by time.
    id          TEXT COLLATE "C" PRIMARY KEY,
    player_id   TEXT COLLATE "C" NOT NULL,
    kind        TEXT   NOT NULL,
    -- everywhere, kind:world, or channel:ID.
    place       TEXT COLLATE "C" NOT NULL,
    -- What the player is told, and what they are not.
    reason      TEXT   NOT NULL,
    note        TEXT,
    given_by    TEXT COLLATE "C" NOT NULL,
    given_at    BIGINT NOT NULL,
    -- Null for good.
    until       BIGINT,
    -- Given by the program, rather than by somebody.
    automatic   BOOLEAN NOT NULL,
    case_id     TEXT COLLATE "C",
    nonce       TEXT COLLATE "C",
    digest      TEXT   NOT NULL,
    lifted_at   BIGINT,
    lifted_by   TEXT COLLATE "C",
    lift_reason TEXT
);
CREATE INDEX sanction_player ON sanction (player_id, id);
CREATE INDEX sanction_place ON sanction (place, id);
-- Every send looks in here.
CREATE INDEX sanction_in_force ON sanction (player_id) WHERE lifted_at IS NULL AND kind <> 'warn';
CREATE UNIQUE INDEX sanction_nonce ON sanction (given_by, nonce) WHERE nonce IS NOT NULL;

-- Who did what to whom: rows are only ever added. People stand here under an alias and free text under its digest, so
-- either can be forgotten while the chain stays whole.
CREATE TABLE audit (
    n          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
    by_alias   TEXT COLLATE "C" NOT NULL,
    scope      TEXT   NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    alias      TEXT COLLATE "C",
    detail     TEXT   NOT NULL,
    text       TEXT,
    request_id TEXT
);
CREATE INDEX audit_by ON audit (by_alias, n);
CREATE INDEX audit_by_action ON audit (by_alias, action, n);
CREATE INDEX audit_player ON audit (alias, n);
CREATE INDEX audit_player_by ON audit (alias, by_alias, n);
CREATE INDEX audit_player_action ON audit (alias, action, n);
CREATE INDEX audit_action ON audit (action, n);
CREATE INDEX audit_said ON audit (text) WHERE text IS NOT NULL;

CREATE TABLE audit_alias (
    player_id TEXT COLLATE "C" PRIMARY KEY,
    alias     TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE audit_text (
    digest TEXT PRIMARY KEY,
    text   TEXT NOT NULL
);

-- The chain: each row's hash covers the one before. Apart from the rows, as those come in any order.
CREATE TABLE audit_seal (
    place BIGINT PRIMARY KEY,
    n     BIGINT NOT NULL UNIQUE,
    hash  TEXT   NOT NULL
);

CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only added to';
END $$;
CREATE TRIGGER audit_only_added BEFORE UPDATE OR DELETE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
CREATE TRIGGER audit_seal_only_added BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

-- Reports, the cases that gather them, with evidence, and appeals. Times are milliseconds since the epoch; people are
-- named by the keys under which their messages are stored.

-- All open reports about one subject. "case" is a word of SQL.
CREATE TABLE report_case (
    id           TEXT COLLATE "C" PRIMARY KEY,
    -- A message or a player, as reports name it; there is one open case about each.
    subject      TEXT COLLATE "C" NOT NULL,
    player_id    TEXT COLLATE "C" NOT NULL,
    channel      TEXT COLLATE "C",
    seq          BIGINT,
    state        TEXT   NOT NULL,
    opened_at    BIGINT NOT NULL,
    reports      BIGINT NOT NULL,
    -- Two for a report, one where the reporter's were mostly dismissed.
    weight       BIGINT NOT NULL,
    -- The message as it was, with its neighbours, when the case was opened: JSON, never changed.
    evidence     TEXT,
    claimed_by   TEXT COLLATE "C",
    claimed_at   BIGINT,
    claim_nonce  TEXT COLLATE "C",
    decided_by   TEXT COLLATE "C",
    decided_at   BIGINT,
    decide_nonce TEXT COLLATE "C",
    decision     TEXT,
    reason       TEXT,
    sanction_id  TEXT COLLATE "C"
);
CREATE UNIQUE INDEX report_case_open ON report_case (subject) WHERE state <> 'decided';
CREATE INDEX report_case_waiting ON report_case (weight DESC, opened_at, id) WHERE state <> 'decided';
CREATE INDEX report_case_queue ON report_case (state, weight DESC, opened_at, id);
CREATE INDEX report_case_player ON report_case (player_id, id);
CREATE INDEX report_case_evidence ON report_case (opened_at, id) WHERE evidence IS NOT NULL;
CREATE INDEX report_case_decided ON report_case (decided_at) WHERE evidence IS NOT NULL;

CREATE TABLE report (
    id        TEXT COLLATE "C" PRIMARY KEY,
    reporter  TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    player_id TEXT COLLATE "C" NOT NULL,
    category  TEXT   NOT NULL,
    text      TEXT,
    at        BIGINT NOT NULL,
    case_id   TEXT COLLATE "C" NOT NULL,
    UNIQUE (reporter, subject)
);
CREATE INDEX report_reporter ON report (reporter, at);
CREATE INDEX report_of_case ON report (case_id, id);
CREATE INDEX report_player ON report (player_id, id);

CREATE TABLE appeal (
    id          TEXT COLLATE "C" PRIMARY KEY,
    -- One appeal a sanction.
    sanction_id TEXT COLLATE "C" NOT NULL UNIQUE,
    player_id   TEXT COLLATE "C" NOT NULL,
    text        TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    decided_by  TEXT COLLATE "C",
    decided_at  BIGINT,
    decide_nonce TEXT COLLATE "C",
    reason      TEXT
);
CREATE INDEX appeal_player ON appeal (player_id, id);
CREATE INDEX appeal_queue ON appeal (state, id);

-- What some see otherwise: entries that are hidden from all but one, and players whom somebody wants to see nothing of.
-- And where players have spoken, so that what one of them said is found without looking everywhere.

-- What one player sees of an entry where everybody else sees the message's `shown`.
CREATE TABLE own_view (
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    shown       TEXT NOT NULL,
    -- `shadow` and `hide` for what somebody said, `change` for an entry about that.
    why         TEXT NOT NULL,
    PRIMARY KEY (channel_key, seq)
);
CREATE INDEX own_view_player ON own_view (player_id);

-- `player_id` wants to see nothing of `blocked_id`.
CREATE TABLE block (
    player_id  TEXT COLLATE "C" NOT NULL,
    blocked_id TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (player_id, blocked_id)
);
CREATE INDEX block_blocked ON block (blocked_id);

-- Grows with each change of somebody's blocks, so that those which were read before need not be read again.
CREATE TABLE block_version (
    player_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version   BIGINT NOT NULL
);

-- Where a player has spoken, and when: the last time, or up to a day before.
CREATE TABLE spoken_in (
    player_id   TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (player_id, channel_key)
);

CREATE INDEX spoken_in_at ON spoken_in (channel_key, at);

-- Entries that tell of a purge, so that a task that runs twice writes each once.
CREATE TABLE purge_entry (
    task_id     TEXT COLLATE "C" NOT NULL,
    channel_key BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (task_id, channel_key)
);

-- How far a slow task is, or what came of it, as JSON.
CREATE TABLE task_progress (
    task_id TEXT   NOT NULL PRIMARY KEY,
    said    TEXT   NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX task_progress_at ON task_progress (at);

-- When the filter refused something of a player's.
CREATE TABLE refusal (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    player_id TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL
);
CREATE INDEX refusal_player ON refusal (player_id, at);
CREATE INDEX refusal_at ON refusal (at);

-- Direct channels that players opened within a day, so that there is an end to it.
CREATE TABLE direct_opened (
    player_id TEXT COLLATE "C" NOT NULL,
    other_id  TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (player_id, other_id)
);

CREATE INDEX direct_opened_other ON direct_opened (other_id);

-- Rows of the audit that wait for their seal, so that the sealer need not look for them. A trigger writes them.
CREATE TABLE audit_open (
    n BIGINT PRIMARY KEY
);
CREATE FUNCTION audit_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_open (n) VALUES (NEW.n);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_opens AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_open();

-- What was reported for ranks, newest or best by player and board. `pending` says that a task is to tell it.
CREATE TABLE rank_report (
    board       TEXT COLLATE "C" NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    value       BIGINT  NOT NULL,
    reported_at BIGINT  NOT NULL,
    pending     BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (player_id, board)
);
CREATE INDEX rank_report_at ON rank_report (reported_at);

-- What payment providers called back with, each event once. `number` is the order of storing; `tell_order` names what is
-- told in that order: a player, else a purchase. What it was and whose is kept until it was told; its id longer, against
-- repeats.
CREATE TABLE payment (
    number      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT COLLATE "C" NOT NULL UNIQUE,
    provider    TEXT COLLATE "C" NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    player_id   TEXT COLLATE "C",
    tell_order  TEXT COLLATE "C" NOT NULL,
    payload     TEXT,
    received_at BIGINT NOT NULL,
    told_at     BIGINT,
    UNIQUE (provider, event)
);
CREATE INDEX payment_untold ON payment (tell_order, number) WHERE payload IS NOT NULL;
CREATE INDEX payment_received ON payment (received_at);

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

-- What is to be run at a time, or again and again. `next_at` is when it is due next; none where it is over. Each time it was
-- due is an `occurrence`, written in the transaction that enqueues its task: once, however many workers there are.
CREATE TABLE schedule (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    task       TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    payload    TEXT NOT NULL,
    cron       TEXT,
    zone       TEXT,
    until      BIGINT,
    next_at    BIGINT,
    state      TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    digest     TEXT NOT NULL,
    stage      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX schedule_due ON schedule (stage, next_at) WHERE state = 'planned';
CREATE INDEX schedule_created ON schedule (stage, created_at, id);
CREATE INDEX schedule_over ON schedule (created_at) WHERE state <> 'planned';
CREATE TABLE occurrence (
    schedule_id TEXT COLLATE "C" NOT NULL,
    due_at      BIGINT NOT NULL,
    PRIMARY KEY (schedule_id, due_at)
);
CREATE INDEX occurrence_due ON occurrence (due_at);

-- What the game says to many. `texts` and `audience` are JSON; `state` is planned, running, done or cancelled. To players
-- nothing is written for each: an `announced` row says since when and until when it is shown to all whom it concerns.
CREATE TABLE announcement (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    texts       TEXT NOT NULL,
    audience    TEXT NOT NULL,
    push        BOOLEAN NOT NULL,
    show_ms     BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    schedule_id TEXT COLLATE "C" NOT NULL,
    created_by  TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    reached     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX announcement_created ON announcement (created_at, id);
CREATE TABLE announced (
    number          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    announcement_id TEXT COLLATE "C" NOT NULL,
    due_at          BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    until           BIGINT NOT NULL,
    UNIQUE (announcement_id, due_at)
);
CREATE INDEX announced_until ON announced (until);

-- Players' devices, by a hash of what the provider calls each; zone, level and language are those of the last register.
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

-- What a player has not been told yet: from a number of a channel on, up to the last that counts, and when it is looked at.
-- One task looks at all of a shard's players that are due.
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

-- Where most channels are one player's own, with a message or two, PostgreSQL would think that every channel is small, and
-- read a large one through rather than look a message or a member up by all that is known. So it is told that channels
-- are few and large, which is wrong for small ones and costs nothing there.
ALTER TABLE message ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE member ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE own_view ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE mention ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE mentioned_in ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE spoken_in ALTER COLUMN channel_key SET (n_distinct = 50);

-- Whoever is asked for may have done nothing: their rows are found by an index, not by reading the audit from its start.
ALTER TABLE audit ALTER COLUMN by_alias SET (n_distinct = -0.01);
ALTER TABLE audit ALTER COLUMN action SET (n_distinct = -0.01);
ALTER TABLE audit ALTER COLUMN alias SET (n_distinct = -0.01);

-- What waits is another every minute: what PostgreSQL saw when it last looked says nothing. So it takes no figures of these
-- columns, and thinks that there are many kinds of tasks: then it finds keys by all that is asked for, in the order of time.
ALTER TABLE outbox_key ALTER COLUMN task SET STATISTICS 0;
ALTER TABLE outbox_key ALTER COLUMN marked SET STATISTICS 0;
ALTER TABLE outbox_key ALTER COLUMN due_at SET STATISTICS 0;
ALTER TABLE outbox_key ALTER COLUMN hold SET STATISTICS 0;
ALTER TABLE outbox ALTER COLUMN key SET STATISTICS 0;
ALTER TABLE outbox ALTER COLUMN task SET STATISTICS 0;
