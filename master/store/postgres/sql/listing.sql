-- Tasks of a run: what each engine reads its way.

-- name: listed_ended
-- OFFSET keeps PostgreSQL to the order of the join, so it looks at few more outcomes than it tells.
SELECT b.first, o.start, o.stop,
    length(o.results) = length({cancelled}) AND o.results = {cancelled},
    CASE WHEN length(o.results) <= :shown THEN o.results END
  FROM blocks b CROSS JOIN LATERAL (
    SELECT start, stop, results FROM outcomes WHERE block = b.id OFFSET 0
  ) o
  WHERE b.run = :run AND b.first > :behind AND b.first < :before AND b.first + o.stop > :task
  ORDER BY b.first, b.count, b.id, o.start LIMIT :look

-- name: listed_dead
-- A range of runs, not `=`: PostgreSQL would look through the tracked tasks of all later blocks.
SELECT {listed} FROM strays
  WHERE (run, block) >= (:run, :block) AND run <= :run AND task > :after AND state = 'dead'
  ORDER BY run, block, task LIMIT :look
