-- Names and what is kept under them, and the counts of runs.

-- name: kept
SELECT value FROM meta WHERE name = :name

-- name: set_counts
UPDATE runs SET {set_counts} WHERE id = :run

-- name: drop_key
DELETE FROM keys WHERE run = :run AND hash = :hash
