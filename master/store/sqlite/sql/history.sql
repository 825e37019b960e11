-- The rows of the history: statements that this engine has its way.

-- name: drop_minutes
-- The condition of the schema's index, word for word: SQLite uses no index otherwise.
DELETE FROM history WHERE (run, at, span_s) IN (
  SELECT run, at, span_s FROM history WHERE span_s = 60 AND at < :before ORDER BY at LIMIT :look)

-- name: drop_history
DELETE FROM history WHERE (run, at, span_s) IN (
  SELECT run, at, span_s FROM history WHERE run = :run AND at < :before ORDER BY at LIMIT :look)
