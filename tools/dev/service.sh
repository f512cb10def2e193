#!/bin/sh
# ./dev test service: the installed unit under a systemd of its own (root, some seconds).
#
# systemd boots as process 1 of namespaces over an overlay of this system: what it writes is gone afterwards, what it
# mounts and starts ends with it, its network is a loopback.  It starts sema.service, and a unit that looks at it from
# outside and ends the whole.  The last line is "N passed, N failed".
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cd "$root"
BOOT_S=90

die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

# boot PLACE: replaces the shell by systemd.  PLACE/root: what ./dev install made; PLACE/out: what is told.
boot() {
    place=$1
    mkdir "$place/over"
    mount -t tmpfs tmpfs "$place/over"
    new=$place/over/root
    mkdir "$place/over/upper" "$place/over/work" "$new"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$place/over/upper,workdir=$place/over/work" "$new"
    mount -t proc proc "$new/proc"
    mount -t sysfs -o ro sysfs "$new/sys"
    mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$new/run"
    mount -t tmpfs tmpfs "$new/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$new/dev"
    for node in null zero full random urandom tty; do
        : >"$new/dev/$node"
        mount --bind "/dev/$node" "$new/dev/$node"
    done
    mkdir "$new/dev/pts" "$new/dev/shm" "$new/dev/mqueue" "$new/dev/hugepages"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
    ln -s pts/ptmx "$new/dev/ptmx"
    mkdir -p "$new/var/look" "$new/etc/sema" "$new/etc/systemd/system"
    mount --bind "$place/out" "$new/var/look"
    cp -a "$place/root/." "$new/"
    cp tools/dev/service-look.sh "$new/run/look.sh"
    install -m 600 /dev/null "$new/etc/sema/sema.env"
    echo 'SHUTDOWN_TIMEOUT=20' >"$new/etc/sema/sema.env"
    cat >"$new/etc/systemd/system/look.service" <<'UNIT'
[Unit]
Wants=sema.service
After=sema.service
[Service]
Type=oneshot
StandardOutput=append:/var/look/said
StandardError=append:/var/look/errors
ExecStart=/bin/sh /run/look.sh
ExecStopPost=/bin/systemctl exit 0
UNIT
    printf '[Unit]\nWants=systemd-journald.socket systemd-journald.service look.service\n' >"$new/etc/systemd/system/look.target"
    cd "$new"
    pivot_root . mnt
    umount -l /mnt
    exec env -i container=sema-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=look.target --show-status=no --log-target=journal
}

if [ "${1:-}" = --boot ]; then
    boot "$2"
fi

[ "$(id -u)" -eq 0 ] || exec sudo sh "$0"
[ -x /lib/systemd/systemd ] || die "no systemd on this system"
mkdir -p build
place=$(mktemp -d "$root/build/service-XXXXXX")
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$place"
mkdir "$place/out" "$place/root"
./dev install PREFIX=/usr/local "DESTDIR=$place/root"
timeout -k 5 "$BOOT_S" unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup --propagation private \
    sh "$0" --boot "$place" >"$place/out/boot" 2>&1 || cat "$place/out/boot" >&2
touch "$place/out/said"
cat "$place/out/said"
passed=$(grep -c '^ok ' "$place/out/said" || true)
failed=$(grep -c '^not ok ' "$place/out/said" || true)
if ! grep -q '^end$' "$place/out/said"; then
    echo "not ok - it came to its end"
    failed=$((failed + 1))
fi
[ "$failed" -eq 0 ] || tail -n 60 "$place/out/errors" "$place/out/journal" >&2 || true
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
