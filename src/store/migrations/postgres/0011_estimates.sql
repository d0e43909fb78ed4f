-- Where most channels are one player's own, with a message or two, PostgreSQL would think that every channel is small, and
-- read a large one through rather than look a message or a member up by all that is known. So it is told that channels
-- are few and large, which is wrong for small ones and costs nothing there.
ALTER TABLE message ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE member ALTER COLUMN channel_key SET (n_distinct = 50);
ALTER TABLE own_view ALTER COLUMN channel_key SET (n_distinct = 50);
