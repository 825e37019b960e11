-- Runs, schedules, and the texts by which ended runs are found. The conditions are those of the
-- schema's indexes, word for word: these are not used otherwise.

-- name: open_runs
SELECT {runs}, {counts} FROM runs
  WHERE (state = 'active' OR (state != 'pruned' AND collected < 4611686018427387904)) ORDER BY id

-- name: schedules
SELECT {schedules} FROM schedules ORDER BY name

-- name: run_by_number
SELECT {runs}, {counts} FROM runs WHERE id = :run

-- name: ended_runs
SELECT {runs}, {counts} FROM runs WHERE state NOT IN ('active', 'pruned') AND id < :before
  ORDER BY id DESC LIMIT :look

-- name: count_ended
SELECT COUNT(*) FROM runs WHERE state NOT IN ('active', 'pruned') AND id < :before

-- name: old_runs
SELECT id FROM runs WHERE state NOT IN ('active', 'pruned') AND collected = 4611686018427387904
  AND ended_at <= :ended_by ORDER BY ended_at LIMIT :look

-- name: ended_numbers
SELECT id FROM runs WHERE state NOT IN ('active', 'pruned') {which} ORDER BY {order} LIMIT :look

-- name: drop_texts
DELETE FROM texts WHERE run = :run
