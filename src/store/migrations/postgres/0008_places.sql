-- Direct channels that players opened within a day, so that there is an end to it.
CREATE TABLE direct_opened (
    player_id TEXT COLLATE "C" NOT NULL,
    other_id  TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (player_id, other_id)
);

-- How strict the word filter is in a channel, as JSON; null where it is as for all of its kind.
ALTER TABLE channel ADD COLUMN filter TEXT;
