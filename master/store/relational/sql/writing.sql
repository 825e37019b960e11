-- The statements of a turn's commit.

-- name: revive
UPDATE strays SET state = 'waiting', attempts = 0, losses = 0, delay_s = 0, due_at = :at,
    seq = 0, failure = 0,
    retries = CASE retries WHEN {no_notes} THEN :note ELSE add_note(retries, :note) END
  WHERE run = :run AND {which}

-- name: grow_block
UPDATE blocks SET count = :count, body = :body WHERE id = :block

-- name: code_user
-- The conditions of the schema's index, word for word: it is not used otherwise.
SELECT 1 FROM runs WHERE version = :version AND uploaded = 1 AND state != 'pruned' LIMIT 1

-- name: drop_code
DELETE FROM code WHERE version = :version

-- name: version_of_run
SELECT version FROM runs WHERE id = :run

-- name: drop_worker
DELETE FROM workers WHERE id = :worker

-- name: drop_schedule
DELETE FROM schedules WHERE name = :name

-- name: unread_results
SELECT COALESCE(SUM({readable}), 0) FROM outcomes WHERE run = :run AND seq > :after

-- name: workers
SELECT id FROM workers

-- name: has_block
SELECT 1 FROM blocks WHERE id = :block

-- name: has_outcome
SELECT 1 FROM outcomes WHERE seq = :seq

-- name: keep_tries
INSERT INTO tries (run, task, place, {tries})
  SELECT run, task, {greatest}(tries, attempts + losses, 1) % :places, {last_try} FROM strays
  WHERE run = :run AND task {in_tasks} AND {is_try}
  ON CONFLICT (run, task, place) DO UPDATE SET {replace_tries}

-- name: drop_outcomes
DELETE FROM outcomes WHERE seq {in_seqs}
