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
    created_at   INTEGER NOT NULL,
    -- When something last happened here: an inbox is sorted by it, and no later message is dated before it, whatever
    -- the clock does.
    last_at      INTEGER NOT NULL DEFAULT 0,
    -- No later than its oldest message, and null where it has none. Retention finds by it what is too old.
    oldest_at    INTEGER,
    -- How strict the word filter is here, as JSON; null where it is as for all of its kind.
    filter       TEXT
);

CREATE INDEX channel_oldest ON channel (kind, oldest_at) WHERE oldest_at IS NOT NULL;
-- Channels of a kind, for what is said in all of them.
CREATE INDEX channel_kind ON channel (kind, key);

CREATE TABLE member (
    channel_key  INTEGER NOT NULL,
    player_id    TEXT    NOT NULL,
    joined_at    INTEGER NOT NULL,
    -- How far the player has read, as a seq and as a count of things said: unread is a subtraction.
    read_seq     INTEGER NOT NULL,
    read_said    INTEGER NOT NULL,
    -- When the player last spoke here; written only while the channel has a slow mode.
    last_sent_at INTEGER,
    -- What a member is besides: `officer` keeps order in this channel. Null for most.
    role         TEXT,
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
    -- Which change an entry tells; null for a recall and for what somebody said. Only a recall has a `ref`, as a message
    -- has one at most: what else is about a message names it in `shown` alone.
    change      TEXT,
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

-- Entries that call a player by name, as long as they do, whether read or not: so that a player can be forgotten without
-- reading what everybody said.
CREATE TABLE mentioned_in (
    player_id   TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key, seq)
) WITHOUT ROWID;

CREATE INDEX mentioned_in_message ON mentioned_in (channel_key, seq);

-- When each player last spoke, oldest first, as many times as the send limit counts.
CREATE TABLE pace (
    player_id TEXT PRIMARY KEY,
    recent    TEXT NOT NULL
) WITHOUT ROWID;

-- Tasks, stored with what caused them. Done ones stay a while, so that a second delivery has no effect.
-- Tasks that wait or are under way. Those that ended are in outbox_done and outbox_dead.
CREATE TABLE outbox (
    -- Rows of one key are numbered in the order in which their transactions held what caused them: for what follows
    -- messages that is the lock of the channel, so it is the order of the messages' numbers. Across keys it says nothing.
    n             INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    task          TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    payload       TEXT    NOT NULL,
    -- Tries before the next one. A delivery has an effect only for the present one.
    attempt       INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    -- Since when it waits: when it was stored, or the time for which it was planned.
    since         INTEGER NOT NULL,
    not_before    INTEGER NOT NULL,
    -- The order within a key is by this, then by n. 0 for most; a time for what was planned for later, and for a retry that
    -- lets others of its key go first.
    place         INTEGER NOT NULL DEFAULT 0,
    trace         TEXT,
    -- When it was handed to a broker; 0 for never, or not since the last try.
    published_at  INTEGER NOT NULL DEFAULT 0,
    -- Tries that were our own fault: it panicked, or its worker died over it.
    faults        INTEGER NOT NULL DEFAULT 0,
    -- When the first of its tries failed, and why the last did.
    failing_since INTEGER,
    reason        TEXT,
    -- Whose it is: '' for the published versions', 'latest' for those that the newest code enqueued while testers try it.
    -- Each is handed over and run by its own.
    stage         TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX outbox_order ON outbox (key, stage, place, n);
CREATE INDEX outbox_task ON outbox (stage, task, since);

-- Rows of the outbox that no key's row knows of yet. Senders only add here, so that they never wait for workers.
CREATE TABLE outbox_open (
    stage TEXT    NOT NULL,
    n     INTEGER NOT NULL,
    id    TEXT    NOT NULL,
    PRIMARY KEY (stage, n)
) WITHOUT ROWID;

-- A row for each key that has tasks: its head, and when somebody has to look at it next. Whoever works on tasks of a key
-- holds this row, so that they run one after the other.
CREATE TABLE outbox_key (
    stage     TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    -- The first of its tasks: its name and its place.
    task      TEXT    NOT NULL,
    place     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    -- When its head may run; while it is held, when the hold ends. Never, while it is parked.
    due_at    INTEGER NOT NULL,
    -- '' waits, leased (a worker runs its tasks), handing (to the broker), sent (the broker has some), parked.
    hold      TEXT    NOT NULL DEFAULT '',
    -- What it was before somebody took it.
    was       TEXT    NOT NULL DEFAULT '',
    holder    TEXT    NOT NULL DEFAULT '',
    -- Who hands tasks to the broker while a worker has the key, and until when they are waited for.
    relay     TEXT    NOT NULL DEFAULT '',
    relay_until INTEGER NOT NULL DEFAULT 0,
    -- 1 where a worker gave its head back to be run from the table, as it could not run it.
    marked    INTEGER NOT NULL DEFAULT 0,
    -- Set aside by an operator, and why.
    parked_at INTEGER,
    reason    TEXT,
    PRIMARY KEY (key, stage)
);

CREATE INDEX outbox_key_due ON outbox_key (stage, marked, task, due_at);
CREATE INDEX outbox_key_next ON outbox_key (stage, due_at) WHERE marked = 0;
CREATE INDEX outbox_key_parked ON outbox_key (stage, parked_at) WHERE parked_at IS NOT NULL;
-- Those that somebody works on, or that a broker has something of: few, however many wait.
CREATE INDEX outbox_key_held ON outbox_key (stage, key) WHERE hold <> '';

-- Tasks that were given up, until a person asks for them again; and what came from a topic and was no task.
CREATE TABLE outbox_dead (
    id          TEXT    PRIMARY KEY,
    task        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    payload     TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    trace       TEXT,
    finished_at INTEGER NOT NULL,
    reason      TEXT,
    stage       TEXT    NOT NULL,
    -- Its place in the order of its key, for those that are made ready again together.
    n           INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX outbox_dead_task ON outbox_dead (stage, task, finished_at, n);
CREATE INDEX outbox_dead_last ON outbox_dead (stage, finished_at);
CREATE INDEX outbox_dead_key ON outbox_dead (key);

-- Tasks that were done: as little of each as it takes to tell that a second delivery is one.
CREATE TABLE outbox_done (
    id          TEXT    PRIMARY KEY,
    task        TEXT    NOT NULL,
    -- A hash of the key.
    key_digest  TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    stage       TEXT    NOT NULL
);

CREATE INDEX outbox_done_last ON outbox_done (finished_at);

-- How often each entry hit, for planners: an entry that never hits can go, one that hits often may be wrong.
CREATE TABLE wordlist_hit (
    category TEXT    NOT NULL,
    entry    TEXT    NOT NULL,
    hits     INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (category, entry)
) WITHOUT ROWID;

CREATE INDEX wordlist_hit_count ON wordlist_hit (hits DESC);

-- Up to which time retention has deleted all that is too old: a row for each part, and one, with no name, for how far it
-- believes the clock. That one goes forward by a day at most, so that a clock that is wrong for a moment empties no channel.
CREATE TABLE retention (
    part  TEXT    PRIMARY KEY,
    until INTEGER NOT NULL
);

-- Written to see whether writing works.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
);

-- Whose rights to read have changed: who joined or left a channel. Processes that hold sockets read it twice a second, by
-- its growing id, so it tells of what other processes did. The daily sweep deletes what is older than an hour.
CREATE TABLE right_change (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_key INTEGER NOT NULL,
    player_id   TEXT NOT NULL,
    changed_at  INTEGER NOT NULL
);

-- Processes that hold sockets. Each says every twenty seconds that it lives; one that was silent for a minute is gone.
CREATE TABLE process (
    id      TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
);

-- Which players have a socket in which process.
CREATE TABLE online (
    player_id  TEXT NOT NULL,
    process_id TEXT NOT NULL,
    PRIMARY KEY (player_id, process_id)
);
CREATE INDEX online_by_process ON online (process_id, player_id);

-- Sanctions, and the audit. Times are milliseconds since the epoch; people are named by the keys under which their
-- messages are stored.

CREATE TABLE sanction (
    -- Sorts by time.
    id          TEXT PRIMARY KEY,
    player_id   TEXT NOT NULL,
    kind        TEXT   NOT NULL,
    -- everywhere, kind:world, or channel:ID.
    place       TEXT NOT NULL,
    -- What the player is told, and what they are not.
    reason      TEXT   NOT NULL,
    note        TEXT,
    given_by    TEXT NOT NULL,
    given_at    INTEGER NOT NULL,
    -- Null for good.
    until       INTEGER,
    -- Given by the program, rather than by somebody.
    automatic   INTEGER NOT NULL,
    case_id     TEXT,
    nonce       TEXT,
    digest      TEXT   NOT NULL,
    lifted_at   INTEGER,
    lifted_by   TEXT,
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
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    by_alias   TEXT NOT NULL,
    scope      TEXT   NOT NULL,
    action     TEXT NOT NULL,
    alias      TEXT,
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
    player_id TEXT PRIMARY KEY,
    alias     TEXT NOT NULL UNIQUE
);

CREATE TABLE audit_text (
    digest TEXT PRIMARY KEY,
    text   TEXT NOT NULL
);

-- The chain: each row's hash covers the one before. Apart from the rows, as those come in any order.
CREATE TABLE audit_seal (
    place INTEGER PRIMARY KEY,
    n     INTEGER NOT NULL UNIQUE,
    hash  TEXT   NOT NULL
);

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

-- Reports, the cases that gather them, with evidence, and appeals. Times are milliseconds since the epoch; people are
-- named by the keys under which their messages are stored.

-- All open reports about one subject. "case" is a word of SQL.
CREATE TABLE report_case (
    id           TEXT PRIMARY KEY,
    -- A message or a player, as reports name it; there is one open case about each.
    subject      TEXT NOT NULL,
    player_id    TEXT NOT NULL,
    channel      TEXT,
    seq          INTEGER,
    state        TEXT   NOT NULL,
    opened_at    INTEGER NOT NULL,
    reports      INTEGER NOT NULL,
    -- Two for a report, one where the reporter's were mostly dismissed.
    weight       INTEGER NOT NULL,
    -- The message as it was, with its neighbours, when the case was opened: JSON, never changed.
    evidence     TEXT,
    claimed_by   TEXT,
    claimed_at   INTEGER,
    claim_nonce  TEXT,
    decided_by   TEXT,
    decided_at   INTEGER,
    decide_nonce TEXT,
    decision     TEXT,
    reason       TEXT,
    sanction_id  TEXT
);
CREATE UNIQUE INDEX report_case_open ON report_case (subject) WHERE state <> 'decided';
CREATE INDEX report_case_waiting ON report_case (weight DESC, opened_at, id) WHERE state <> 'decided';
CREATE INDEX report_case_queue ON report_case (state, weight DESC, opened_at, id);
CREATE INDEX report_case_player ON report_case (player_id, id);
CREATE INDEX report_case_evidence ON report_case (opened_at, id) WHERE evidence IS NOT NULL;
CREATE INDEX report_case_decided ON report_case (decided_at) WHERE evidence IS NOT NULL;

CREATE TABLE report (
    id        TEXT PRIMARY KEY,
    reporter  TEXT NOT NULL,
    subject   TEXT NOT NULL,
    player_id TEXT NOT NULL,
    category  TEXT   NOT NULL,
    text      TEXT,
    at        INTEGER NOT NULL,
    case_id   TEXT NOT NULL,
    UNIQUE (reporter, subject)
);
CREATE INDEX report_reporter ON report (reporter, at);
CREATE INDEX report_of_case ON report (case_id, id);
CREATE INDEX report_player ON report (player_id, id);

CREATE TABLE appeal (
    id          TEXT PRIMARY KEY,
    -- One appeal a sanction.
    sanction_id TEXT NOT NULL UNIQUE,
    player_id   TEXT NOT NULL,
    text        TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    at          INTEGER NOT NULL,
    decided_by  TEXT,
    decided_at  INTEGER,
    decide_nonce TEXT,
    reason      TEXT
);
CREATE INDEX appeal_player ON appeal (player_id, id);
CREATE INDEX appeal_queue ON appeal (state, id);

-- What some see otherwise: entries that are hidden from all but one, and players whom somebody wants to see nothing of.
-- And where players have spoken, so that what one of them said is found without looking everywhere.

-- What one player sees of an entry where everybody else sees the message's `shown`.
CREATE TABLE own_view (
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    player_id   TEXT    NOT NULL,
    shown       TEXT    NOT NULL,
    -- `shadow` and `hide` for what somebody said, `change` for an entry about that.
    why         TEXT NOT NULL,
    PRIMARY KEY (channel_key, seq)
) WITHOUT ROWID;
CREATE INDEX own_view_player ON own_view (player_id);

-- `player_id` wants to see nothing of `blocked_id`.
CREATE TABLE block (
    player_id  TEXT    NOT NULL,
    blocked_id TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (player_id, blocked_id)
) WITHOUT ROWID;
CREATE INDEX block_blocked ON block (blocked_id);

-- Grows with each change of somebody's blocks, so that those which were read before need not be read again.
CREATE TABLE block_version (
    player_id TEXT    NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL
);

-- Where a player has spoken, and when: the last time, or up to a day before.
CREATE TABLE spoken_in (
    player_id   TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (player_id, channel_key)
) WITHOUT ROWID;

CREATE INDEX spoken_in_at ON spoken_in (channel_key, at);

-- Entries that tell of a purge, so that a task that runs twice writes each once.
CREATE TABLE purge_entry (
    task_id     TEXT    NOT NULL,
    channel_key INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (task_id, channel_key)
) WITHOUT ROWID;

-- How far a slow task is, or what came of it, as JSON.
CREATE TABLE task_progress (
    task_id TEXT   NOT NULL PRIMARY KEY,
    said    TEXT   NOT NULL,
    at      INTEGER NOT NULL
);
CREATE INDEX task_progress_at ON task_progress (at);

-- When the filter refused something of a player's.
CREATE TABLE refusal (
    id        INTEGER PRIMARY KEY,
    player_id TEXT NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX refusal_player ON refusal (player_id, at);
CREATE INDEX refusal_at ON refusal (at);

-- Direct channels that players opened within a day, so that there is an end to it.
CREATE TABLE direct_opened (
    player_id TEXT    NOT NULL,
    other_id  TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (player_id, other_id)
) WITHOUT ROWID;

CREATE INDEX direct_opened_other ON direct_opened (other_id);

-- Rows of the audit that wait for their seal, so that the sealer need not look for them. A trigger writes them.
CREATE TABLE audit_open (
    n INTEGER PRIMARY KEY
);
CREATE TRIGGER audit_opens AFTER INSERT ON audit
BEGIN INSERT INTO audit_open (n) VALUES (NEW.n); END;

-- What was reported for ranks, newest or best by player and board. `pending` says that a task is to tell it.
CREATE TABLE rank_report (
    board       TEXT NOT NULL,
    player_id   TEXT NOT NULL,
    value       INTEGER NOT NULL,
    reported_at INTEGER NOT NULL,
    pending     BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (player_id, board)
) WITHOUT ROWID;
CREATE INDEX rank_report_at ON rank_report (reported_at);

-- What payment providers called back with, each event once. `number` is the order of storing; `tell_order` names what is
-- told in that order: a player, else a purchase. What it was and whose is kept until it was told; its id longer, against
-- repeats.
CREATE TABLE payment (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    provider    TEXT NOT NULL,
    event       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    player_id   TEXT,
    tell_order  TEXT NOT NULL,
    payload     TEXT,
    received_at INTEGER NOT NULL,
    told_at     INTEGER,
    UNIQUE (provider, event)
);
CREATE INDEX payment_untold ON payment (tell_order, number) WHERE payload IS NOT NULL;
CREATE INDEX payment_received ON payment (received_at);

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

-- What is to be run at a time, or again and again. `next_at` is when it is due next; none where it is over. Each time it was
-- due is an `occurrence`, written in the transaction that enqueues its task: once, however many workers there are.
CREATE TABLE schedule (
    id         TEXT NOT NULL PRIMARY KEY,
    task       TEXT NOT NULL,
    key        TEXT NOT NULL,
    payload    TEXT NOT NULL,
    cron       TEXT,
    zone       TEXT,
    until      INTEGER,
    next_at    INTEGER,
    state      TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    stage      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (stage, next_at) WHERE state = 'planned';
CREATE INDEX schedule_created ON schedule (stage, created_at, id);
CREATE INDEX schedule_over ON schedule (created_at) WHERE state <> 'planned';
CREATE TABLE occurrence (
    schedule_id TEXT NOT NULL,
    due_at      INTEGER NOT NULL,
    PRIMARY KEY (schedule_id, due_at)
) WITHOUT ROWID;
CREATE INDEX occurrence_due ON occurrence (due_at);

-- What the game says to many. `texts` and `audience` are JSON; `state` is planned, running, done or cancelled. To players
-- nothing is written for each: an `announced` row says since when and until when it is shown to all whom it concerns.
CREATE TABLE announcement (
    id          TEXT NOT NULL PRIMARY KEY,
    texts       TEXT NOT NULL,
    audience    TEXT NOT NULL,
    push        BOOLEAN NOT NULL,
    show_ms     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    reached     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX announcement_created ON announcement (created_at, id);
CREATE TABLE announced (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    announcement_id TEXT NOT NULL,
    due_at          INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    until           INTEGER NOT NULL,
    UNIQUE (announcement_id, due_at)
);
CREATE INDEX announced_until ON announced (until);

-- Players' devices, by a hash of what the provider calls each; zone, level and language are those of the last register.
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

-- What a player has not been told yet: from a number of a channel on, up to the last that counts, and when it is looked at.
-- One task looks at all of a shard's players that are due.
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
