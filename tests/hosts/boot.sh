# A host runs this until its init and dockerd run. The script is PID 1 of new namespaces, and /proc is
# still the machine's. The environment has FOLDER NAME GROUP JOIN DRIVER. The script prints its process
# id on the machine, and then waits for a line, which says that eth0 is plugged in.
set -eu
read -r outer_pid _ </proc/self/stat
echo 0 >"$JOIN"

# The host must not hold mounts of the machine's own containers, which would outlive them here.
for point in $(cut -d ' ' -f 5 /proc/self/mountinfo); do
    case $point in
        /run/* | /var/lib/docker/*) umount --lazy "$point" 2>/dev/null || : ;;
    esac
done
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
# The host needs a /sys with its own network devices, and the cgroups at their old place.
mkdir -p /run/lock /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
mkdir -p /var/lib/docker /etc/docker
mount --bind "$FOLDER/docker" /var/lib/docker
mount --bind "$FOLDER/etc-docker" /etc/docker
for file in hosts hostname resolv.conf; do
    target=$(readlink -m "/etc/$file")
    # The file may be a link into /run, which is empty now.
    [ -e "$target" ] || { mkdir -p "$(dirname "$target")" && : >"$target"; }
    mount --bind "$FOLDER/$file" "$target"
done
echo "$NAME" >/proc/sys/kernel/hostname
echo 0 >/proc/sys/net/ipv4/ip_forward
rm -f "$FOLDER/docker.sock"

echo "$outer_pid"
read -r _
# When dockerd ends, this loop starts it again, as systemd would.
# shellcheck disable=SC2016  # for the inner shell to expand
exec docker-init -- sh -c 'while :; do
    rm -f /run/docker.pid
    dockerd --host unix:///run/docker.sock --host "unix://$FOLDER/docker.sock" \
        --storage-driver "$DRIVER" --cgroup-parent "/$GROUP" \
        --exec-opt native.cgroupdriver=cgroupfs || :
    sleep 0.5
done' </dev/null >&2
