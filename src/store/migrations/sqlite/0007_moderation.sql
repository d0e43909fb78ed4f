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
CREATE INDEX audit_player ON audit (alias, n);
CREATE INDEX audit_action ON audit (action, n);

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
