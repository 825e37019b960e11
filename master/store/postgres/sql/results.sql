-- Ended tasks: what each engine reads its way.

-- name: ended_of_block
-- All rows are fetched at once, so these are the rows of a page and one more: each counts for so
-- many bytes, and the sum is of all but the row itself and the one before it.
SELECT seq, start, stop, results FROM
  (SELECT seq, start, stop, results, SUM(length(results) + :row_bytes::bigint)
      OVER (ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
    FROM outcomes WHERE block = :block AND start >= :position AND results != {cancelled}) o
  WHERE COALESCE(before, 0) < :limit_bytes ORDER BY start

-- name: keys_with_text
SELECT first, keys FROM
  (SELECT first, keys FROM blocks WHERE run = :run AND keys IS NOT NULL
    ORDER BY first DESC LIMIT :look) newest
  WHERE position(:text IN keys) > 0

-- name: outcomes_behind
-- The last column is how long the payloads of the block are. A range of runs, not `=`: PostgreSQL
-- would look through the outcomes of all runs in the order of `seq`.
SELECT {outcomes}, (SELECT length(body) FROM blocks WHERE id = outcomes.block)
  FROM outcomes WHERE (run, seq) > (:run, :after) AND run <= :run ORDER BY run, seq LIMIT :look

-- name: last_outcomes
SELECT {outcomes} FROM outcomes WHERE run BETWEEN :run AND :run
  ORDER BY run DESC, seq DESC LIMIT :look
