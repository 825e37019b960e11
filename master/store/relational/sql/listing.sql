-- Tasks of a run by how they stand, in the order of their numbers.

-- name: listed_blocks
-- The last column tells whether any task of a block that may have waiting ones has ended, or is
-- tracked. With EXISTS, PostgreSQL would make a table of all of them first.
SELECT id, first, count, open, open = 1 AND COALESCE(
    (SELECT 1 FROM outcomes WHERE block = b.id LIMIT 1),
    (SELECT 1 FROM strays WHERE block = b.id LIMIT 1)) IS NOT NULL
  FROM blocks b WHERE run = :run AND first > :behind AND first + count > :task
  ORDER BY first LIMIT :look

-- name: waiting_tasks
SELECT task FROM strays {by_waiting} WHERE run = :run AND state = 'waiting' LIMIT :look

-- name: listed_behind
SELECT state, block, position, {listed} FROM strays WHERE run = :run AND task > :after
  ORDER BY task LIMIT :look

-- name: listed_tasks
SELECT state, block, position, {listed} FROM strays WHERE run = :run AND task {in_tasks}
  ORDER BY task

-- name: first_behind
SELECT first FROM blocks WHERE run = :run AND first > :behind ORDER BY first LIMIT 1 OFFSET :skip
