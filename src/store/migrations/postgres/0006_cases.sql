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
