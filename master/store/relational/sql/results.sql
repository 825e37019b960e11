-- Ended tasks, and all that there is of one task.

-- name: body_of_block
SELECT body FROM blocks WHERE id = :block

-- name: bodies_of_blocks
SELECT id, body FROM blocks WHERE id {in_blocks}

-- name: payloads_of_block
SELECT first, count, body, keys FROM blocks WHERE id = :block

-- name: blocks_of_tasks
-- A block has at most so many tasks, so the index has few entries to pass over.
SELECT id, first, count FROM blocks
  WHERE run = :run AND first > :behind AND first < :stop AND first + count > :start
  ORDER BY first LIMIT :look

-- name: letters_behind
SELECT {letter} FROM strays {by_letters}
  WHERE run = :run AND state = 'dead' AND seq > :after AND seq <= :until ORDER BY seq LIMIT :look

-- name: blocks_from
-- `first` is where the index begins. `id` is compared as well: the block may be of another run. `+`
-- keeps PostgreSQL from the index of `id`, which has the blocks in another order.
-- The last columns tell whether any task of the block has ended, and whether any is tracked. With
-- EXISTS, PostgreSQL would make a table of all of them first.
SELECT id, first, count,
    (SELECT 1 FROM outcomes WHERE block = b.id LIMIT 1),
    (SELECT 1 FROM strays WHERE block = b.id LIMIT 1)
  FROM blocks b WHERE run = :run AND id + 0 >= :block AND first >= COALESCE(
    (SELECT first FROM blocks WHERE run = :run AND id = :block),
    (SELECT first FROM blocks WHERE run = :run AND id = :block - 1), 0)
  ORDER BY first LIMIT :look

-- name: dead_blocks
-- DISTINCT would look at each letter. One step in the index finds the next block.
WITH RECURSIVE dead (block, step) AS (
  SELECT (SELECT block FROM strays {by_dead}
      WHERE run = :run AND state = 'dead' AND block >= :block ORDER BY block LIMIT 1), 1
  UNION ALL
  SELECT (SELECT block FROM strays {by_dead}
      WHERE run = :run AND state = 'dead' AND block > dead.block ORDER BY block LIMIT 1), step + 1
    FROM dead WHERE block IS NOT NULL AND step < :look
)
SELECT dead.block, first, count FROM dead LEFT JOIN blocks ON blocks.id = dead.block
  WHERE dead.block IS NOT NULL ORDER BY dead.block

-- name: tracked_of_block
SELECT state, {letter} FROM strays
  WHERE block = :block AND task >= :task AND task < :before ORDER BY position

-- name: block_of_task
SELECT {blocks} FROM blocks WHERE run = :run AND first <= :task ORDER BY first DESC LIMIT 1

-- name: outcome_of_position
SELECT {outcomes} FROM outcomes WHERE block = :block AND start <= :position AND stop > :position
  ORDER BY start DESC LIMIT 1

-- name: tracked_task
SELECT {tracked} FROM strays WHERE run = :run AND task = :task

-- name: tries_of_task
SELECT {last_try} FROM strays WHERE run = :run AND task = :task AND {is_try}
UNION ALL SELECT {tries} FROM tries WHERE run = :run AND task = :task
ORDER BY 1 DESC
