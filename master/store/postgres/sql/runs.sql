-- Runs, blocks and code by many keys, and the search in ended runs: this engine's way.

-- name: runs_by_number
SELECT {runs}, {counts} FROM runs WHERE id = ANY(:keys0::bigint[])

-- name: runs_by_key
SELECT {runs}, {counts} FROM runs WHERE key = ANY(:keys0::text[])

-- name: bodies
SELECT id, body FROM blocks WHERE id = ANY(:keys0::bigint[])

-- name: code_of_versions
SELECT version, files FROM code WHERE version = ANY(:keys0::text[])

-- name: look_for_text
-- Arguments are MessagePack, whose texts are there as they are. A run that is found so is looked at
-- again, for the bytes between two texts may look like a text.
-- `lower` takes texts, and a text has no byte 0 here. So that byte becomes 1, in what is sought as
-- well. In the form `escape` a byte 0 is \000, and a backslash is two; hence it becomes \134 first.
SELECT COUNT(*), {last}(id), SUM(size)::bigint,
    string_agg(id::text, ',') FILTER (WHERE is_found) FROM (
  SELECT id, COALESCE(length(text), length(words) + length(arguments)) AS size,
    id = :number::bigint OR CASE WHEN text IS NULL
      THEN position(convert_from(decode(replace(replace(encode(
            :text::bytea,
          'escape'), '\\', '\134'), '\000', '\001'), 'escape'), 'LATIN1')
        IN lower(convert_from(decode(replace(replace(encode(
            convert_to(job, 'UTF8') || '\x00'::bytea
            || convert_to(COALESCE(key, ''), 'UTF8') || '\x00'::bytea || words || arguments,
          'escape'), '\\', '\134'), '\000', '\001'), 'escape'), 'LATIN1') COLLATE "C")) > 0
      ELSE position(:text::bytea IN text) > 0 END AS is_found
  FROM (
    -- One text after the other: a join might begin with those of the newest runs for any page.
    SELECT id, job, key, words, arguments, (SELECT text FROM texts WHERE run = runs.id) AS text
    FROM runs WHERE state NOT IN ('active', 'pruned') {which} ORDER BY {order} LIMIT :look
  ) AS numbered
) AS looked_at
