#!/bin/sh
# systemd.sh LOWER FOLDER GROUP UNIT: starts the systemd of the Debian in the folder LOWER as process 1 of namespaces of its own, up to
# UNIT, in the control group GROUP, which it makes. It goes on until this process is killed.
#
# Nothing of this machine is in its reach: at its start, systemd empties folders, makes others, and sets the kernel's variables. Its root
# is a copy of LOWER in memory, mounted in FOLDER, with an empty /run, /tmp and /dev, and a /proc/sys and a /sys that cannot be written.
# The file FOLDER/prepare, if it is there, is read before: it may mount and write in $new, the root. Needs root and a static busybox.
set -eu
lower=$1 folder=$2 group=$3 unit=$4
while read -r _ where kind _; do [ "$kind" != cgroup2 ] || groups=$where; done </proc/mounts
mkdir "$groups/$group"
echo $$ >"$groups/$group/cgroup.procs"
exec unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child --propagation private env container=test sh -euc '
lower=$1 folder=$2 unit=$3
over=$folder/over new=$folder/over/root
mkdir -p "$over"
mount -t tmpfs tmpfs "$over"
mkdir "$over/upper" "$over/work" "$new"
mount -t overlay -o "lowerdir=$lower,upperdir=$over/upper,workdir=$over/work" overlay "$new"
mkdir -p "$new/dev" "$new/etc" "$new/proc" "$new/run" "$new/sys" "$new/tmp" "$new/usr/bin" "$new/var" "$new/.old"
for name in bin lib lib64 sbin; do
  [ -e "$new/$name" ] || [ ! -e "$new/usr/$name" ] || ln -s "usr/$name" "$new/$name"
done
[ ! -e "$folder/prepare" ] || . "$folder/prepare"
for directory in dev run tmp; do mount -t tmpfs tmpfs "$new/$directory"; done
while read -r node major minor; do mknod -m 666 "$new/dev/$node" c "$major" "$minor"; done <<END
full 1 7
null 1 3
random 1 8
tty 5 0
urandom 1 9
zero 1 5
END
mkdir "$new/dev/pts" "$new/dev/shm"
ln -s pts/ptmx "$new/dev/ptmx"
mount -t proc proc "$new/proc"
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,bind,ro "$new/proc/sys"
[ ! -e "$new/proc/sysrq-trigger" ] || mount --bind "$new/dev/null" "$new/proc/sysrq-trigger"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
mkdir -p "$new/etc/systemd/system"
for name in setup setup-dev setup-dev-early clean; do
  ln -sf /dev/null "$new/etc/systemd/system/systemd-tmpfiles-$name.service"
done
ln -sf /dev/null "$new/etc/systemd/system/systemd-tmpfiles-clean.timer"
echo uninitialized >"$new/etc/machine-id"
cp "$(command -v busybox)" "$new/run/busybox"
"$new/run/busybox" ip link set lo up
cd "$new"
pivot_root . .old
exec /run/busybox chroot . /run/busybox sh -euc "
/run/busybox umount -l /.old
/run/busybox rmdir /.old
# The machine is out of reach, or nothing is started.
[ ! -e \"\$1\" ] && /run/busybox grep -q \"^overlay / overlay \" /proc/mounts
exec /usr/lib/systemd/systemd --system --unit=\"\$2\" --log-target=journal --show-status=0
" sh "$folder" "$unit"
' sh "$lower" "$folder" "$unit"
