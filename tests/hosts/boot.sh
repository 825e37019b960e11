# What a host does until its init and dockerd run. PID 1 of new namespaces, /proc is the
# machine's still. From the environment: FOLDER NAME GROUP JOIN DRIVER. First it prints its
# process id as the machine has it, then it waits for the line that says: eth0 is plugged in.
set -eu
read -r outer_pid _ </proc/self/stat
echo 0 >"$JOIN"

# Mounts of the machine's own containers: held here, they would outlive those containers.
for point in $(cut -d ' ' -f 5 /proc/self/mountinfo); do
    case $point in
        /run/* | /var/lib/docker/*) umount --lazy "$point" 2>/dev/null || : ;;
    esac
done
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
# A /sys that shows this host's network devices, with the cgroups where they were.
mkdir -p /run/lock /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
mkdir -p /var/lib/docker /etc/docker
mount --bind "$FOLDER/docker" /var/lib/docker
mount --bind "$FOLDER/etc-docker" /etc/docker
for file in hosts hostname resolv.conf; do
    target=$(readlink -m "/etc/$file")
    # A link into /run, which is empty now.
    [ -e "$target" ] || { mkdir -p "$(dirname "$target")" && : >"$target"; }
    mount --bind "$FOLDER/$file" "$target"
done
echo "$NAME" >/proc/sys/kernel/hostname
echo 0 >/proc/sys/net/ipv4/ip_forward
rm -f "$FOLDER/docker.sock"

echo "$outer_pid"
read -r _
# As systemd would: dockerd comes back when it ends.
# shellcheck disable=SC2016  # for the inner shell to expand
exec docker-init -- sh -c 'while :; do
    rm -f /run/docker.pid
    dockerd --host unix:///run/docker.sock --host "unix://$FOLDER/docker.sock" \
        --storage-driver "$DRIVER" --cgroup-parent "/$GROUP" \
        --exec-opt native.cgroupdriver=cgroupfs || :
    sleep 0.5
done' </dev/null >&2
