#!/usr/bin/env bash
# prepare.sh SERVER CLIENT [CA]: makes what the database and the masters need to trust each other.
#
# The folder SERVER gets, for the database: server.key, server.crt, password, pg_hba.conf. The folder
# CLIENT gets, for the masters: ca.crt, and url, which is the value of MASTER_STORE. Both may be one folder.
# A complete set stays as it is, so a restart changes nothing. The file url is the last one, so a set
# without it is made anew.
#
# CA is the path of ca.crt as the masters see it, /database/ca.crt if it is not given. HOST is the name
# of the database. As root the script gives the files to the users of both images.
set -euo pipefail

server=$1 client=$2 ca=${3:-/database/ca.crt}
HOST=${HOST:-database}
DATABASE=${DATABASE:-quartermaster}
DAYS=${DAYS:-3650}
POSTGRES_UID=999
MASTER_UID=1000

if [ -e "$client/url" ]; then exit 0; fi

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$server" "$client"

# This CA signs one certificate. Its key goes with the folder, so nobody can sign another one.
pair=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${pair[@]}" -keyout "$work/ca.key" -out "$work/ca.crt" -days "$DAYS" \
    -subj "/CN=Quartermaster's database" -addext keyUsage=critical,keyCertSign 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
openssl req "${pair[@]}" -keyout "$work/server.key" -out "$work/server.csr" -subj "/CN=$HOST" 2>/dev/null
printf 'subjectAltName=DNS:%s,DNS:tasks.%s\nextendedKeyUsage=serverAuth\n' "$HOST" "$HOST" >"$work/names"
openssl x509 -req -in "$work/server.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
    -days "$DAYS" -extfile "$work/names" -out "$work/server.crt" 2>/dev/null
password=$(openssl rand -hex 24)
printf '%s\n' "$password" >"$work/password"
printf 'postgresql://%s:%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s\n' \
    "$DATABASE" "$password" "$HOST" "$DATABASE" "$ca" >"$work/url"
cp "$(dirname "$0")/pg_hba.conf" "$work/"

# give UID FOLDER FILE...: puts files there, readable for that user alone.
give() {
    local uid=$1 folder=$2 name
    shift 2
    for name in "$@"; do
        install -m 400 "$work/$name" "$folder/$name.new"
        if [ "$(id -u)" = 0 ]; then chown "$uid:$uid" "$folder/$name.new"; fi
        mv -f "$folder/$name.new" "$folder/$name"
    done
    if [ "$(id -u)" = 0 ] && [ "$server" != "$client" ]; then chmod 755 "$folder"; fi
}

give "$POSTGRES_UID" "$server" server.key server.crt password pg_hba.conf
give "$MASTER_UID" "$client" ca.crt url
