-- no-transaction
-- It allowed one change a message for ever. Nothing asks for it: a recall is kept single by the index before this.
DROP INDEX CONCURRENTLY IF EXISTS message_ref;
