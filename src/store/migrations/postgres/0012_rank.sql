-- What was reported for ranks, newest or best by player and board. `pending` says that a task is to tell it.
CREATE TABLE rank_report (
    board       TEXT COLLATE "C" NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    value       BIGINT  NOT NULL,
    reported_at BIGINT  NOT NULL,
    pending     BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (player_id, board)
);
CREATE INDEX rank_report_at ON rank_report (reported_at);
