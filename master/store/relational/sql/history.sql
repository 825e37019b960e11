-- The rows of the history.

-- name: history_by_steps
-- How the run stood is that of the last row of a step.
SELECT step, steps.done, steps.dead, steps.failed, steps.busy_s,
    waiting, leased, delayed, workers, slots
  FROM (
    SELECT at / :step_s * :step_s AS step, CAST(SUM(done) AS bigint) AS done,
        CAST(SUM(dead) AS bigint) AS dead, CAST(SUM(failed) AS bigint) AS failed,
        SUM(busy_s) AS busy_s, MAX(at) AS last
      FROM history WHERE run = :run AND at >= :since AND at < :until AND span_s = :span_s
      GROUP BY step
  ) AS steps
  JOIN history h ON h.run = :run AND h.at = last AND h.span_s = :span_s
    AND h.at >= :since AND h.at < :until
  ORDER BY step

-- name: newest_minute
SELECT at FROM history WHERE run = :run AND span_s = :span_s AND waiting IS NOT NULL
  ORDER BY at DESC LIMIT 1

-- name: take_history
DELETE FROM history WHERE span_s = :span_s AND at BETWEEN :since AND :until RETURNING {history}
