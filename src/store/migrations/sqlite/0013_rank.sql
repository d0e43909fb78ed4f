-- What was reported for ranks, newest or best by player and board. `pending` says that a task is to tell it.
CREATE TABLE rank_report (
    board       TEXT NOT NULL,
    player_id   TEXT NOT NULL,
    value       INTEGER NOT NULL,
    reported_at INTEGER NOT NULL,
    pending     BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (player_id, board)
) WITHOUT ROWID;
CREATE INDEX rank_report_at ON rank_report (reported_at);
