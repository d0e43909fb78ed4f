-- Tasks that are handed to a broker: when that was, 0 for never or not since the last try. Such a task is `sent` until a
-- worker has recorded its end.
ALTER TABLE outbox ADD COLUMN published_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX outbox_sent ON outbox (published_at) WHERE state = 'sent';
CREATE INDEX outbox_leased ON outbox (leased_until) WHERE state = 'sent' AND leased_until > 0;
DROP INDEX outbox_finished;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state IN ('done', 'dead');
