-- no-transaction
-- A message is recalled once, but it can be hidden and shown again as often as it takes.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS message_recall ON message (channel_key, ref)
    WHERE ref IS NOT NULL AND change IS NULL;
