#!/usr/bin/env bash
# The entry point of the stand-in for `postgres:17`. It does what the official one does as far as the
# files in deploy/ use it: an empty folder becomes a cluster, with POSTGRES_USER as its superuser, the
# password of POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, the database POSTGRES_DB, and what the files
# in /docker-entrypoint-initdb.d say. Then it becomes the server.
set -euo pipefail

cannot() {
    echo "Error: $*" >&2
    exit 1
}

superuser=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$superuser}

# The first start: nothing but the socket is open until the cluster is complete.
make_cluster() {
    local password=${POSTGRES_PASSWORD:-} file
    [ -z "$password" ] || [ -z "${POSTGRES_PASSWORD_FILE:-}" ] ||
        cannot "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set"
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(<"$POSTGRES_PASSWORD_FILE"); fi
    [ -n "$password" ] || cannot "the database is empty and has no password: set POSTGRES_PASSWORD_FILE"

    # POSTGRES_INITDB_ARGS is several words on purpose.
    # shellcheck disable=SC2086
    initdb --username="$superuser" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -w -o "$(printf '%q ' "$@" -c listen_addresses= -p 5432)" start
    export PGPASSWORD=$password
    if [ "$database" != postgres ]; then
        sql postgres -v name="$database" <<<'CREATE DATABASE :"name";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) sql "$database" -f "$file" ;;
            *.sh) "$file" ;;
        esac
    done
    unset PGPASSWORD
    pg_ctl -D "$PGDATA" -m fast -w stop
}

# sql DATABASE WORD...: psql as the superuser, by the socket.
sql() {
    local into=$1
    shift
    psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$superuser" --dbname "$into" "$@"
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA" || true
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres {} +
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then make_cluster "${@:2}"; fi
fi
exec "$@"
