-- Groups of dead letters.

-- name: failure_by_name
SELECT {failures} FROM failures WHERE run = :run AND exception = :exception AND place = :place

-- name: failure_by_id
SELECT {failures} FROM failures WHERE id = :failure

-- name: count_failures
SELECT COUNT(*) FROM failures WHERE run = :run

-- name: add_failure
INSERT INTO failures ({new_failures}) VALUES ({values_of_new_failures}) RETURNING id

-- name: set_failure
UPDATE failures SET {set_failures} WHERE id = :id

-- name: drop_failure
DELETE FROM failures WHERE id = :failure

-- name: drop_failures
DELETE FROM failures WHERE run = :run

-- name: dead_of_tasks
SELECT failure, worker, COUNT(*) FROM strays WHERE run = :run AND {some_dead}
  GROUP BY failure, worker

-- name: dead_of_block
SELECT failure, worker, COUNT(*) FROM strays WHERE block = :block AND state = 'dead'
  GROUP BY failure, worker

-- name: end_of_failure
SELECT seq, task, error, due_at FROM strays {by_failures}
  WHERE run = :run AND state = 'dead' AND failure = :failure ORDER BY seq {order} LIMIT 1

-- name: failures_behind
SELECT {f_failures}, job FROM failures f CROSS JOIN runs
  WHERE f.last_seq < :after AND {chosen} AND runs.id = f.run ORDER BY f.last_seq DESC LIMIT :look

-- name: failures_of_names
SELECT id FROM failures WHERE run = :run AND {named}
