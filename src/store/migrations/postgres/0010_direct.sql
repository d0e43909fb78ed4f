-- Direct channels that players opened within a day, so that there is an end to it.
CREATE TABLE direct_opened (
    player_id TEXT COLLATE "C" NOT NULL,
    other_id  TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (player_id, other_id)
);
