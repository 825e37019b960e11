-- What waits, what has a row of its own, and what groups and quotas have.

-- name: active_runs
-- Tracked tasks of ended runs wait for nothing, and there may be a hundred thousand such runs. The
-- condition is the same as in the index `runs_open`, word for word.
SELECT id FROM runs WHERE state = 'active'
  AND (state = 'active' OR (state != 'pruned' AND collected < 4611686018427387904))

-- name: open_blocks
-- The last column tells whether any task of the block has ended or is tracked. It is no EXISTS: for
-- many blocks PostgreSQL would read all outcomes, to look for each block in them.
SELECT id, first, count, priority, COALESCE(
    (SELECT 1 FROM outcomes WHERE block = b.id LIMIT 1),
    (SELECT 1 FROM strays WHERE block = b.id LIMIT 1), 0)
  FROM blocks b WHERE run = :run AND open = 1 AND {group} {behind}
  ORDER BY priority DESC, id LIMIT :look

-- name: ended_ranges
SELECT start, stop FROM outcomes WHERE block = :block
UNION SELECT position, position + 1 FROM strays WHERE block = :block
  ORDER BY 1, 2

-- name: blocks_by_number
-- The last column is as in `open_blocks`. Most blocks have no such task, and nothing more is read of
-- them.
SELECT id, run, first, count, priority, grp, COALESCE(
    (SELECT 1 FROM outcomes WHERE block = b.id LIMIT 1),
    (SELECT 1 FROM strays WHERE block = b.id LIMIT 1), 0)
  FROM blocks b WHERE id {in_blocks}

-- name: close_blocks
-- Closes the blocks in which every task has ended or is tracked: nothing of them waits. A tracked
-- task that has an outcome, too, is counted once. Outcomes of a block don't overlap.
UPDATE blocks SET open = 0 WHERE open = 1 {which}
  AND count <= (SELECT COALESCE(SUM(stop - start), 0) FROM outcomes WHERE block = blocks.id)
    + (SELECT COUNT(*) FROM strays s WHERE s.block = blocks.id AND s.position >=
      COALESCE((SELECT stop FROM outcomes WHERE block = s.block AND start <= s.position
        ORDER BY start DESC LIMIT 1), 0))

-- name: tracked_page
-- `grp` is one value. PostgreSQL does not know that of NULL, and would sort without it.
SELECT {tracked_short} FROM strays WHERE run = :run AND {group} AND state = 'waiting'
  AND (due_at, task) > (:due_at, :task) ORDER BY grp, due_at, task LIMIT :look

-- name: cap_delays
UPDATE strays SET due_at = :wall + delay_s WHERE run = :run AND state = 'waiting'
  AND due_at > :wall AND due_at > :wall + delay_s

-- name: drop_ended_pauses
DELETE FROM own_groups WHERE every_s IS NULL AND due_at <= :wall

-- name: cap_pauses
UPDATE own_groups SET due_at = :wall + delay_s WHERE due_at > :wall + delay_s

-- name: own_groups
SELECT grp, {own_groups} FROM own_groups WHERE run = :run LIMIT :look

-- name: quotas_of_run
SELECT name, {quotas} FROM quotas WHERE run = :run ORDER BY name LIMIT :look
