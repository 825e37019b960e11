-- What the master tells of the store.

-- name: runs_ended
SELECT state, job, COUNT(*), SUM(dead) FROM runs
  WHERE state NOT IN ('active', 'pruned') GROUP BY state, job
