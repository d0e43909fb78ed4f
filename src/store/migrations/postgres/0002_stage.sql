-- Whose a task is: '' for the published versions', 'latest' for those that the newest code enqueued while testers try
-- it. Each is handed over and run by its own; what the version before enqueues is the published versions'.
ALTER TABLE outbox ADD COLUMN stage TEXT NOT NULL DEFAULT '';
