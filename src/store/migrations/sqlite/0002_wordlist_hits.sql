-- How often each entry hit, for planners: an entry that never hits can go, one that hits often may be wrong.
CREATE TABLE wordlist_hit (
    category TEXT    NOT NULL,
    entry    TEXT    NOT NULL,
    hits     INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (category, entry)
) WITHOUT ROWID;

CREATE INDEX wordlist_hit_count ON wordlist_hit (hits DESC);
