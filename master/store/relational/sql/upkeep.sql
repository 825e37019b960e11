-- Old rows, rows of removed runs, and times of a wrong clock.

-- name: highest
SELECT MAX({column}) FROM {table}

-- name: forget_run
DELETE FROM runs WHERE id = :run RETURNING version, uploaded

-- name: next_to_drop
SELECT MIN(run) FROM dropping

-- name: sizes_to_drop
SELECT {column}, {size} FROM {table} WHERE run = :run ORDER BY {column} LIMIT :rows

-- name: drop_up_to
-- The rows up to there are one range of an index, so one statement deletes them.
DELETE FROM {table} WHERE run = :run AND {column} <= :last

-- name: dropped
DELETE FROM dropping WHERE run = :run

-- name: old_mark
SELECT MAX(at) FROM marks WHERE at <= :at

-- name: drop_old_marks
DELETE FROM marks WHERE at < :at

-- name: seq_of_mark
SELECT seq FROM marks WHERE at = :at

-- name: marks_of_results
SELECT at, seq FROM marks ORDER BY at

-- name: drop_marks
DELETE FROM marks

-- name: old_results
SELECT seq, block, {readable} FROM outcomes
  WHERE (run, seq) > (:run, :after) AND run <= :run AND seq <= :until ORDER BY run, seq LIMIT :look

-- name: blocks_with_letters
SELECT DISTINCT block FROM strays WHERE run = :run AND state = 'dead' AND block > :after
  ORDER BY block LIMIT :look

-- name: results_of_block
SELECT seq, {readable} FROM outcomes WHERE block = :block

-- name: letters_of_block
SELECT task FROM strays WHERE block = :block AND state = 'dead'

-- name: counts_of_run
SELECT {counts} FROM runs WHERE id = :run

-- name: count_of_block
SELECT count FROM blocks WHERE id = :block

-- name: is_block_younger
SELECT EXISTS (SELECT 1 FROM outcomes WHERE block = :block AND seq > :until)
    OR EXISTS (SELECT 1 FROM strays WHERE block = :block
        AND (state = 'waiting' OR (state = 'dead' AND due_at > :died_by)))

-- name: span_of_block
SELECT first, count, keys FROM blocks WHERE id = :block

-- name: drop_tracked_of_block
DELETE FROM strays WHERE block = :block

-- name: drop_tries_of_block
DELETE FROM tries WHERE run = :run AND task >= :first AND task < :behind

-- name: drop_block
DELETE FROM blocks WHERE id = :block

-- name: move_delays
UPDATE strays SET due_at = due_at + :set_s WHERE run = :run AND state = 'waiting'

-- name: move_delays_of_groups
UPDATE own_groups SET due_at = due_at + :set_s WHERE delay_s > 0

-- name: move_times_of_runs
UPDATE runs SET {column} = {column} + :set_s
  WHERE {column} BETWEEN :since AND :until AND id != :queue_run

-- name: move_deaths
UPDATE strays SET due_at = due_at + :set_s
  WHERE run = :queue_run AND state = 'dead' AND due_at BETWEEN :since AND :until
