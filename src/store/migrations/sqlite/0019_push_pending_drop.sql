-- `push_due` took its place, and no version that used it was released.
DROP TABLE push_pending;
