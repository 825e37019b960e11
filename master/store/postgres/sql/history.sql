-- The rows of the history: statements that this engine has its way. A time that is given becomes a
-- whole number: a comparison with another kind of number uses no index.

-- name: drop_minutes
-- The condition of the schema's index, word for word.
DELETE FROM history WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM history
  WHERE span_s = 60 AND at < ceil(greatest(:before::double precision, -1e15))::bigint
  ORDER BY at LIMIT :look))

-- name: drop_history
DELETE FROM history WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM history
  WHERE run = :run AND at < ceil(greatest(:before::double precision, -1e15))::bigint
  ORDER BY at LIMIT :look))
