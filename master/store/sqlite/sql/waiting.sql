-- What waits: statements that this engine has its way.

-- name: ended_in_parts
WITH wanted (block, low, high) AS (
  SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
  FROM json_each(:ranges)
)
SELECT o.block, o.start, o.stop FROM wanted w JOIN outcomes o
  ON o.block = w.block AND o.start < w.high AND o.stop > w.low
UNION ALL
SELECT s.block, s.position, s.position + 1 FROM wanted w JOIN strays s
  ON s.block = w.block AND s.position >= w.low AND s.position < w.high

-- name: tracked_in_parts
WITH wanted (block, low, high) AS (
  SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
  FROM json_each(:ranges)
)
SELECT {s_tracked_short} FROM wanted w JOIN strays s
  ON s.block = w.block AND s.position >= w.low AND s.position < w.high
  WHERE state = 'waiting'

-- name: next_groups
-- A group takes a step or two in an index, however many tasks it has.
WITH RECURSIVE found (step, priority, grp) AS (
  SELECT 0, :priority, :group
  UNION ALL
  SELECT step + 1, b.priority, b.grp FROM found f JOIN blocks b ON b.id = COALESCE(
    (SELECT id FROM blocks INDEXED BY blocks_groups
      WHERE run = :run AND open = 1 AND grp IS NOT NULL AND priority = f.priority AND grp > f.grp
      ORDER BY grp LIMIT 1),
    (SELECT id FROM blocks INDEXED BY blocks_groups
      WHERE run = :run AND open = 1 AND grp IS NOT NULL AND priority < f.priority
      ORDER BY priority DESC, grp LIMIT 1))
  WHERE step < :look
)
SELECT priority, grp FROM found WHERE step > 0 ORDER BY step

-- name: due_groups
SELECT due_at, task, grp FROM strays INDEXED BY strays_due WHERE run = :run
  AND state = 'waiting' AND grp IS NOT NULL AND (due_at, task) > (:due_at, :task)
  ORDER BY due_at, task LIMIT :look

-- name: own_groups_by_name
SELECT grp, {own_groups} FROM own_groups WHERE run = :run AND grp IN ({keys})

-- name: quotas_by_name
WITH wanted (run, name) AS (VALUES {keys})
SELECT q.run, q.name, {q_quotas} FROM wanted w
  CROSS JOIN quotas q ON q.run = w.run AND q.name = w.name
