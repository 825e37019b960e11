-- What a commit does on this engine alone.

-- name: has_turn
SELECT 1 FROM turns WHERE number = :number AND epoch = :epoch

-- name: any_turn
-- The last turn is never dropped.
SELECT 1 FROM turns WHERE number = :number

-- name: drop_turns
DELETE FROM turns WHERE number < :number

-- name: turns_behind
SELECT number, content FROM turns WHERE number > :number ORDER BY number

-- name: kept_values
SELECT name, number, bytes FROM meta

-- name: fold_kept
INSERT INTO meta (name, number, bytes)
  SELECT * FROM unnest(:names::text[], :numbers::bigint[], :bytes::bytea[])
  ON CONFLICT (name) DO UPDATE SET number = excluded.number, bytes = excluded.bytes

-- name: taken_keys
SELECT hash FROM keys WHERE run = :run AND hash = ANY(:hashes::bytea[])

-- name: drop_keys
DELETE FROM keys WHERE run = :run AND hash = ANY(:hashes::bytea[])

-- name: size
SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')

-- name: write_counts
UPDATE runs SET {new_counts}
  FROM unnest(:runs::bigint[], {arrays_of_counts}) AS new (run, {counts}) WHERE id = new.run

-- name: insert_turn
-- Each commit has it. It fails with a division by zero unless the epoch is that of the owner. The
-- owner's row stays as it is until the commit, because the next take-over changes it.
INSERT INTO turns (number, epoch, content)
  SELECT :number, :epoch, :content
  FROM (SELECT 1 / COUNT(*) AS mine
        FROM (SELECT 1 FROM owner WHERE epoch = :epoch FOR SHARE) owned) fence
  WHERE fence.mine = 1
