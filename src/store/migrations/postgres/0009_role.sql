-- What a member is besides: `officer` keeps order in this channel. Null for most.
ALTER TABLE member ADD COLUMN role TEXT;
