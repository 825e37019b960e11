-- Who owns the schema: the statements of `ownership/`. %(lock)s is the number of the advisory lock.

-- name: exists
SELECT to_regclass(quote_ident(current_setting('search_path')) || '.masters') IS NOT NULL

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(%(lock)s + 1)

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = current_setting('search_path'))

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: create_owner
-- The row changes at take-overs alone. Each commit reads it FOR SHARE, which is its fence.
CREATE TABLE IF NOT EXISTS owner (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch   bigint NOT NULL,
    name    text NOT NULL,
    address text NOT NULL,
    since   timestamptz NOT NULL
)

-- name: create_masters
-- A row for each process of a master, which it writes each second. session: what the server calls the
-- session that writes it. epoch: of the active one, and of one that was it and has not noticed.
CREATE TABLE IF NOT EXISTS masters (
    instance text PRIMARY KEY,
    name     text NOT NULL,
    address  text NOT NULL,
    version  text NOT NULL,
    session  text NOT NULL,
    epoch    bigint,
    beats    bigint NOT NULL,
    since    timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL,
    key_mark text NOT NULL
) WITH (fillfactor = 50)

-- name: beat
-- The times are the server's. `since` is when the row got this epoch.
INSERT INTO masters AS m
    (instance, name, address, version, session, epoch, key_mark, beats, since, seen_at)
VALUES (
    %(instance)s, %(name)s, %(address)s, %(version)s, %(session)s, %(epoch)s,
    %(key_mark)s, 1, clock_timestamp(), clock_timestamp()
)
ON CONFLICT (instance) DO UPDATE SET
    beats = m.beats + 1,
    seen_at = excluded.seen_at,
    since = CASE WHEN m.epoch IS NOT DISTINCT FROM excluded.epoch THEN m.since ELSE excluded.since END,
    session = excluded.session,
    epoch = excluded.epoch
RETURNING (SELECT epoch FROM owner)

-- name: roster
SELECT m.instance, m.name, m.address, m.version,
    m.epoch IS NOT NULL AND m.epoch IS NOT DISTINCT FROM o.epoch,
    extract(epoch FROM m.since)::float8,
    extract(epoch FROM clock_timestamp() - m.seen_at)::float8
FROM masters m LEFT JOIN owner o ON true
ORDER BY m.epoch IS NULL, m.epoch DESC, m.name, m.instance
LIMIT 100

-- name: other_keys
-- The active master, if it lives and has another authkey.
SELECT m.name FROM masters m JOIN owner o ON m.epoch = o.epoch
WHERE m.instance <> %(instance)s AND m.seen_at > clock_timestamp() - interval '5 s'
    AND m.key_mark <> %(key_mark)s AND m.key_mark <> '' AND %(key_mark)s <> ''

-- name: forget
-- Rows of masters that are gone: what this one was before, under the same name, and old ones.
DELETE FROM masters m
WHERE m.instance <> %(instance)s AND (
    m.seen_at < clock_timestamp() - interval '1 day'
    OR m.name = %(name)s AND NOT EXISTS (
        SELECT FROM pg_stat_activity s
        WHERE s.application_name = m.session AND s.pid <> pg_backend_pid()
    )
)

-- name: look
-- One row: the epoch; the beats of its master, and whether its watch has a session; who has the lock.
SELECT o.epoch, m.beats,
    EXISTS (SELECT FROM pg_stat_activity s WHERE s.application_name = m.session),
    h.pid, h.backend_start
FROM (VALUES (1)) AS one
LEFT JOIN owner o ON true
LEFT JOIN masters m ON m.epoch = o.epoch
LEFT JOIN (
    SELECT l.pid, s.backend_start
    FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32) | l.objid::bigint = %(lock)s
) h ON true
LIMIT 1

-- name: end_session
-- Nothing happens if that session is gone, also where its process number is another's by now.
SELECT pg_terminate_backend(pid, 500) FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(start)s AND application_name LIKE 'quartermaster/%%'

-- name: end_own
-- The session that had the lock for this master before.
SELECT pg_terminate_backend(s.pid, 500)
FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = %(lock)s
    AND s.application_name = %(session)s AND s.pid <> pg_backend_pid()

-- name: lock
SELECT pg_try_advisory_lock(%(lock)s)

-- name: unlock
SELECT pg_advisory_unlock(%(lock)s)

-- name: epoch
SELECT epoch FROM owner

-- name: take
INSERT INTO owner AS o (epoch, name, address, since)
VALUES (1, %(name)s, %(address)s, clock_timestamp())
ON CONFLICT (one) DO UPDATE SET
    epoch = o.epoch + 1, name = excluded.name, address = excluded.address, since = excluded.since
RETURNING epoch

-- name: leave
DELETE FROM masters WHERE instance = %(instance)s

-- name: tell
SELECT pg_notify(%(channel)s, '')

-- name: call_session
SELECT set_config('application_name', %(session)s, false)
