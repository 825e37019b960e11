-- Runs, blocks and code by many keys, and the search in ended runs: this engine's way.

-- name: runs_by_number
SELECT {runs}, {counts} FROM runs WHERE id IN ({keys})

-- name: runs_by_key
SELECT {runs}, {counts} FROM runs WHERE key IN ({keys})

-- name: bodies
SELECT id, body FROM blocks WHERE id IN ({keys})

-- name: code_of_versions
SELECT version, files FROM code WHERE version IN ({keys})

-- name: look_for_text
-- Arguments are MessagePack, whose texts are there as they are. A run that is found so is looked at
-- again, for the bytes between two texts may look like a text.
SELECT COUNT(*), {last}(id), SUM(size), group_concat(id) FILTER (WHERE is_found) FROM (
  SELECT id, COALESCE(LENGTH(text), LENGTH(words) + LENGTH(arguments)) AS size, id = :number
    OR CASE WHEN text IS NULL
      THEN instr(lower(job), :lower) OR instr(lower(key), :lower)
        OR instr(lower(CAST(words AS TEXT)), :lower)
        OR instr(lower(CAST(arguments AS TEXT)), :lower)
      ELSE instr(text, :text) END AS is_found
  FROM runs LEFT JOIN texts ON texts.run = id
  WHERE state NOT IN ('active', 'pruned') {which} ORDER BY {order} LIMIT :look
)
