-- Ended tasks: what each engine reads its way.

-- name: ended_of_block
SELECT seq, start, stop, results FROM outcomes
  WHERE block = :block AND start >= :position AND results != {cancelled} ORDER BY start

-- name: keys_with_text
SELECT first, keys FROM
  (SELECT first, keys FROM blocks WHERE run = :run AND keys IS NOT NULL
    ORDER BY first DESC LIMIT :look)
  WHERE instr(keys, :text)

-- name: outcomes_behind
-- The last column is how long the payloads of the block are.
SELECT {outcomes}, (SELECT length(body) FROM blocks WHERE id = outcomes.block)
  FROM outcomes WHERE run = :run AND seq > :after ORDER BY seq LIMIT :look

-- name: last_outcomes
SELECT {outcomes} FROM outcomes WHERE run = :run ORDER BY seq DESC LIMIT :look
