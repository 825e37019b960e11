-- Dead letters that a filter chooses. It reads long texts only if it needs them.

-- name: letters_in_order
SELECT seq, task, due_at, worker, {error}, {raised}, {evidence}, grp, attempts, losses, {shown}
  FROM strays {by_letters}
  WHERE run = :run AND state = 'dead' AND seq > :after AND seq <= :until
  ORDER BY seq {order} LIMIT :look

-- name: letters_of_failure
SELECT seq, task, due_at, worker, {error}, {raised}, {evidence}, grp, attempts, losses, {shown}
  FROM strays {by_failures}
  WHERE run = :run AND state = 'dead' AND failure = :failure AND seq > :after AND seq <= :until
  ORDER BY seq {order} LIMIT :look

-- name: letters_in_range
-- Other tracked tasks, too: they are looked at.
SELECT seq, task, due_at, worker, {error}, {raised}, {evidence}, grp, state FROM strays
  WHERE run = :run AND task >= :start AND task < :stop ORDER BY task LIMIT :look

-- name: tasks_of_failure
SELECT task FROM strays {by_of_failure}
  WHERE run = :run AND state = 'dead' AND failure = :failure AND task >= :start AND task < :stop
  ORDER BY task LIMIT :look

-- name: looks_in_range
-- SQLite passes over no long text for these columns.
SELECT task, block, position, state, due_at, worker FROM strays
  WHERE run = :run AND task >= :start AND task < :stop ORDER BY task LIMIT :look

-- name: looks_at_tasks
SELECT task, block, position, state, due_at, worker FROM strays
  WHERE run = :run AND task {in_tasks} ORDER BY task

-- name: letter_of_task
SELECT {letter} FROM strays WHERE run = :run AND task = :task

-- name: task_at_place
SELECT first + COALESCE(NULLIF(:position, 0), count) FROM blocks WHERE id = :block AND run = :run

-- name: first_dead_behind
SELECT MIN(task) FROM strays {by_dead} WHERE run = :run AND state = 'dead' AND block =
  (SELECT MIN(block) FROM strays {by_dead} WHERE run = :run AND state = 'dead' AND block > :block)

-- name: first_block_of_tasks
SELECT id FROM blocks WHERE run = :run AND first > :behind AND first + count > :task
  ORDER BY first LIMIT 1
