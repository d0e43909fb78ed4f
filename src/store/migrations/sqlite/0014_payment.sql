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
