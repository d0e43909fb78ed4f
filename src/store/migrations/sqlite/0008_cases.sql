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
