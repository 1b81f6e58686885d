-- The kinds that the instance claims, a JSON list. NULL for all, and for instances of the version before, which do not tell.
ALTER TABLE sessions ADD COLUMN kinds TEXT;
