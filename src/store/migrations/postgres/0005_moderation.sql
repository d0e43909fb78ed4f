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
CREATE INDEX audit_player ON audit (alias, n);
CREATE INDEX audit_action ON audit (action, n);

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
