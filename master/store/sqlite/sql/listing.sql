-- Tasks of a run: what each engine reads its way.

-- name: listed_ended
-- SQLite keeps to the order of a CROSS JOIN, so it looks at no more outcomes than it tells.
SELECT b.first, o.start, o.stop,
    length(o.results) = length({cancelled}) AND o.results = {cancelled},
    CASE WHEN length(o.results) <= :shown THEN o.results END
  FROM blocks b CROSS JOIN outcomes o ON o.block = b.id
  WHERE b.run = :run AND b.first > :behind AND b.first < :before AND b.first + o.stop > :task
  ORDER BY b.first, b.count, b.id, o.start LIMIT :look

-- name: listed_dead
SELECT {listed} FROM strays INDEXED BY strays_dead
  WHERE run = :run AND state = 'dead' AND block >= :block AND task > :after
  ORDER BY block, task LIMIT :look
