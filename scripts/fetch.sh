#!/usr/bin/env bash
# Copies what jobs wrote to /shared into ./shared: from this host, and with HOSTS="b c" over ssh from
# the hosts whose workers `make join` started. SSH=... and SHIP_FOLDER=... are those of ship.sh.
# FETCH_VOLUME=... names another volume than the compose file's. FETCH_TO=... names another folder than
# ./shared.
#
# A file gets its name here only when it is complete. The script copies a file that is named by its
# content (ab/cdef....png) once. Of files with another name it takes the first host's, and this host,
# which has the master and its runners, comes first. It leaves out names that begin with a dot, because
# those files are still being written.
#
# The script trusts a host with the content of its own files and with nothing else. It leaves out what
# it did not ask for, what is no plain file, and what is longer than the host said. Every file gets the
# mode 644. docs/design.md says why the script does not use rsync.
set -euo pipefail
cd "$(dirname "$0")/.."

# A host that is off, or is cut off, must not hold up the others for minutes.
SSH=${SSH:-ssh -o ConnectTimeout=10 -o ServerAliveInterval=5}
FOLDER=${SHIP_FOLDER:-quartermaster}
TO=${FETCH_TO:-shared}
BATCH=1000
# How many bytes a batch may have beyond its listed sizes: a file that is being written grows.
GROWN_BYTES=67108864

# Each host's sh runs this. It starts a new container, because the workers' may be gone. The container
# sees the files, read-only, and nothing else. It has no log, because a log would copy the files.
# shellcheck disable=SC2016  # for that shell to expand
ON_HOST='
docker version >/dev/null || exit 3
if [ -z "$volume" ]; then
    volume=$(docker compose config | awk "
        \$1 == \"source:\" { source = \$2 }
        \$1 == \"target:\" && \$2 == \"/shared\" { mounted = source }
        /^[^ ]/ { named = \$1 == \"volumes:\"; found = 0 }
        named && /^  [^ ]/ { found = \$1 == mounted \":\" }
        found && \$1 == \"name:\" { mounted = \$2 }
        END { print mounted }")
fi
[ -n "$volume" ] || exit 3
case $volume in
    /*) [ -d "$volume" ] || { echo "no folder $volume there" >&2; exit 3; } ;;
    *) docker volume inspect "$volume" >/dev/null 2>&1 ||
        { echo "no volume $volume there: nothing of this project ever ran in that folder" >&2; exit 3; } ;;
esac
for image in $images; do
    docker image inspect "$image" >/dev/null 2>&1 && break
    image=
done
[ -n "$image" ] || { echo "none of the images there that could read the volume: $images" >&2; exit 3; }
exec docker run --rm --interactive --pull never --log-driver none --network none --read-only \
    --cap-drop ALL --security-opt no-new-privileges \
    --volume "$volume:/shared:ro" --workdir /shared "$image" sh -c "$command"
'
LIST='find . -name ".?*" -prune -o -type f -printf "%s %P\n"'
# tar's exit code 1 means that a file grew meanwhile. Of a file that is gone meanwhile tar only warns.
# shellcheck disable=SC2016  # for the container's shell to expand
SEND='tar --create --ignore-failed-read --null --files-from -; [ $? -le 1 ]'

images=$(docker compose config --images | sort -r | tr '\n' ' ')

# on_host HOST COMMAND: runs a shell command in a container with that host's files. An empty HOST is
# this host.
on_host() {
    local words="images='$images' volume='${FETCH_VOLUME:-}' command='$2'"
    if [ -z "$1" ]; then
        sh -c "$words$ON_HOST"
    else
        # Only the compose file in the folder tells the volume's name.
        local enter="[ -n \"\$volume\" ] || cd $FOLDER || exit 3"
        # shellcheck disable=SC2086  # SSH may be several words
        $SSH "$1" "$words; $enter$ON_HOST"
    fi
}

say() { echo "fetch: $*" >&2; }

# fails HOST WHAT: prints one line, with the last line that ssh or docker printed, and sets `code`.
code=0
fails() {
    local why
    why=$(grep -v -e '^ *$' -e 'docker run --help' -e 'tar: Exiting' "$scratch/errors" | tail -n 1) || true
    say "${1:-this host} $2${why:+: $why}"
    code=1
}

# listed: passes on the lines that list a file: a size, and a name below the folder, of which no part
# begins with a dot and no character controls a terminal. Exits with 1 if there were other lines.
listed() {
    LC_ALL=C awk '
        /^[0-9]+ [^\/]/ && length($1) < 19 && $0 !~ /[\001-\037\177]|\302[\200-\237]/ \
            && $0 !~ /^[0-9]+ \.|\/\./ && $0 !~ /\/(\/|$)/ { print; next }
        { strange = 1 }
        END { exit strange }
    '
}

# wanted: prints the names to copy of those that a host lists, and writes the names that an earlier
# host has to $scratch/left. After a power cut a host may have half of a file that is named by its
# content, so the largest such file is taken.
wanted() {
    (cd "$TO" && find . -path './.fetch.*' -prune -o -type f -exec wc -c {} +) |
        sed 's|^ *\([0-9]*\) \./|\1 |' >"$scratch/here"
    # Old versions of mawk do not know {62}.
    awk -v left="$scratch/left" '
        function by_content(name,   part, count) {
            count = split(name, part, "/")
            sub(/\.[a-z0-9]+$/, "", part[count])
            return part[count - 1] ~ /^[0-9a-f][0-9a-f]$/ && part[count] ~ /^[0-9a-f]+$/ \
                && length(part[count]) == 62
        }
        { name = substr($0, index($0, " ") + 1) }
        FILENAME ~ /here$/ { size[name] = $1 + 0; next }
        FILENAME ~ /taken$/ { taken[name]; next }
        by_content(name) { if (!(name in size) || size[name] < $1 + 0) print name; next }
        name in taken { print name >left; next }
        { print name }
    ' "$scratch/here" "$scratch/taken" "$scratch/list"
}

# take TREE BATCH: removes what no line of BATCH names and what is no plain file, then moves the other
# files to $TO. TREE is on the same disk, so each file appears there whole. Adds to `copied`.
take() {
    local folder target
    find "$1" ! -type d ! -type f -delete
    (cd "$1" && find . -type f) | sed 's|^\./||' | LC_ALL=C awk '
        FILENAME != "-" { asked[$0]; next }
        !($0 in asked) { print }
    ' "$2" - | tr '\n' '\0' >"$scratch/unasked"
    [ ! -s "$scratch/unasked" ] || (cd "$1" && xargs -0 rm -f --) <"$scratch/unasked" || return 1
    find "$1" -type f -exec chmod 644 {} + || return 1
    copied=$((copied + $(find "$1" -type f -exec printf '.%.0s' {} + | wc -c)))
    find "$1" -type d | while IFS= read -r folder; do
        target=$TO${folder#"$1"}
        # shellcheck disable=SC2016  # for the inner shell to expand
        mkdir -p "$target" && find "$folder" -mindepth 1 -maxdepth 1 -type f -exec \
            sh -c 'target=$1; shift; mv -f -- "$@" "$target/"' sh "$target" {} + || exit 1
    done
}

# most_bytes BATCH: prints how many bytes an archive of these files may have, by the listed sizes.
most_bytes() {
    LC_ALL=C awk -v grown="$GROWN_BYTES" '
        FILENAME ~ /list$/ { size[substr($0, index($0, " ") + 1)] = $1; next }
        { sum += size[$0] + 8192 }
        END { printf "%.0f\n", sum + grown }
    ' "$scratch/list" "$1"
}

# gather HOST: copies the host's files, a batch at a time. A batch stays here if a later one fails.
gather() {
    local host=$1 name=${1:-this host} status=0 copied=0 batch
    on_host "$host" "$LIST" >"$scratch/said" 2>"$scratch/errors" </dev/null || status=$?
    case $status in
        0) ;;
        255) fails "$host" "can't be reached" && return ;;
        *) fails "$host" "gives no files" && return ;;
    esac
    if ! listed <"$scratch/said" >"$scratch/list"; then
        say "$name has names that no file here may have: they stay there"
        code=1
    fi
    rm -f "$scratch"/batch.*
    : >"$scratch/left"
    wanted >"$scratch/wanted"
    split -l "$BATCH" "$scratch/wanted" "$scratch/batch."
    for batch in "$scratch"/batch.*; do
        [ -e "$batch" ] || break
        rm -rf "$scratch/tree"
        mkdir "$scratch/tree"
        if ! {
            tr '\n' '\0' <"$batch" | on_host "$host" "$SEND" | head -c "$(most_bytes "$batch")" |
                tar -C "$scratch/tree" -x -f - --no-same-owner && take "$scratch/tree" "$batch"
        } 2>"$scratch/errors"; then
            fails "$host" "broke off after $copied of $(wc -l <"$scratch/wanted") files"
            return
        fi
        if grep 'Warning: Cannot' "$scratch/errors" | grep -qv 'No such file'; then
            fails "$host" "does not give all of its files"
        fi
    done
    local left wanted
    left=$(wc -l <"$scratch/left") wanted=$(wc -l <"$scratch/wanted")
    echo "$name: $copied files copied, $(($(wc -l <"$scratch/list") - wanted - left)) were here"
    if [ "$copied" != "$wanted" ]; then
        echo "$name: $((wanted - copied)) that it listed did not come: gone meanwhile, or no plain files"
    fi
    if [ "$left" != 0 ]; then
        echo "$name: $left left there, as an earlier host has a file of that name:" \
            "$(head -n 1 "$scratch/left")"
    fi
    cat "$scratch/list" >>"$scratch/taken"
}

mkdir -p "$TO" .cache
# One fetch runs at a time, and removes what a killed one left. The tar and ssh of a killed one hold
# the lock until they notice.
if command -v flock >/dev/null 2>&1; then
    exec 9>.cache/fetch.lock
    if ! flock --nonblock 9; then
        say "waiting for another fetch ..."
        flock 9
    fi
    rm -rf "$TO"/.fetch.*
fi
scratch=$(mktemp -d "$TO/.fetch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/taken"

gather ""
for host in ${HOSTS:-}; do
    gather "$host"
done
exit "$code"
