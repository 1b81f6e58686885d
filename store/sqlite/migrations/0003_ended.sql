-- Retention finds what is old by the ids, which sort by creation.
DROP INDEX IF EXISTS runs_ended;
