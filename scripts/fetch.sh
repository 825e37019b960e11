#!/usr/bin/env bash
# fetch.sh: copies what jobs have written to /shared into ./shared, from this host and, with
# HOSTS="b c", over ssh from the hosts where workers were started with what `make join` prints.
# SSH=... and SHIP_FOLDER=... are as in ship.sh; FETCH_VOLUME=... names the volume, where it is not
# the one of the compose file; FETCH_TO=... is another folder than ./shared.
#
# A file takes its name here only when all of it has come. Files that are named by their content
# (ab/cdef....png) are copied once; of other names the first host's is taken, and this host, which
# has the master and its runners, comes first. Names that begin with a dot stay: they are being
# written.
#
# A host is believed as far as its files go, and no further: what it sends that was not asked for, is
# no plain file, or is longer than it said, is left out, and no file comes with rights of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

# A host that is off or gets cut off must not hold up the others for minutes.
SSH=${SSH:-ssh -o ConnectTimeout=10 -o ServerAliveInterval=5}
FOLDER=${SHIP_FOLDER:-quartermaster}
TO=${FETCH_TO:-shared}
BATCH=1000
# How much longer than it was listed a file may be: one that is being written grows meanwhile.
GROWN_BYTES=67108864

# What runs on each host, in any shell like sh. A container of its own, since those of the workers
# may be gone: it sees the files, read-only, and nothing else. Without a log: that would be a copy.
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
# 1 is a file that grew meanwhile. One that is gone meanwhile is a warning.
# shellcheck disable=SC2016  # for the container's shell to expand
SEND='tar --create --ignore-failed-read --null --files-from -; [ $? -le 1 ]'

images=$(docker compose config --images | sort -r | tr '\n' ' ')

# on_host HOST COMMAND: a shell command in a container beside that host's files; no name: this host.
on_host() {
    local words="images='$images' volume='${FETCH_VOLUME:-}' command='$2'"
    if [ -z "$1" ]; then
        sh -c "$words$ON_HOST"
    else
        # With the volume's name the folder is not needed.
        local enter="[ -n \"\$volume\" ] || cd $FOLDER || exit 3"
        # shellcheck disable=SC2086  # SSH may be several words
        $SSH "$1" "$words; $enter$ON_HOST"
    fi
}

say() { echo "fetch: $*" >&2; }

# fails HOST WHAT: one line, with the last that ssh or docker said, and the exit code to come.
code=0
fails() {
    local why
    why=$(grep -v -e '^ *$' -e 'docker run --help' -e 'tar: Exiting' "$scratch/errors" | tail -n 1) || true
    say "${1:-this host} $2${why:+: $why}"
    code=1
}

# Of the lines that a host sends, those that list a file: a size, and a name below the folder with no
# part that begins with a dot and nothing that a terminal would obey. Exit code 1: there were others.
listed() {
    LC_ALL=C awk '
        /^[0-9]+ [^\/]/ && length($1) < 19 && $0 !~ /[\001-\037\177]|\302[\200-\237]/ \
            && $0 !~ /^[0-9]+ \.|\/\./ && $0 !~ /\/(\/|$)/ { print; next }
        { strange = 1 }
        END { exit strange }
    '
}

# Of what a host lists, the names to copy; those that an earlier host has go to $scratch/left. After
# a power cut a host may have a piece of a file that is named by its content: the largest is whole.
wanted() {
    (cd "$TO" && find . -path './.fetch.*' -prune -o -type f -exec wc -c {} +) |
        sed 's|^ *\([0-9]*\) \./|\1 |' >"$scratch/here"
    # Old ones of mawk know no {62}.
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

# take TREE BATCH: gives its files their names in $TO, which is on the same disk: each is there or
# not. What no line of BATCH names, and what is no plain file, is removed first. Adds to `copied`.
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

# most_bytes BATCH: the most that its files may take in an archive, by the sizes that the host listed.
most_bytes() {
    LC_ALL=C awk -v grown="$GROWN_BYTES" '
        FILENAME ~ /list$/ { size[substr($0, index($0, " ") + 1)] = $1; next }
        { sum += size[$0] + 8192 }
        END { printf "%.0f\n", sum + grown }
    ' "$scratch/list" "$1"
}

# gather HOST: its files, a batch after the other, so that what has come stays, whatever follows.
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
# One at a time, and what a killed one has left is removed. Its tar and ssh still hold the lock
# until they have noticed.
if command -v flock >/dev/null 2>&1; then
    exec 9>.cache/fetch.lock
    if ! flock --nonblock 9; then
        say "waiting for another one ..."
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
