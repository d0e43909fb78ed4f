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
