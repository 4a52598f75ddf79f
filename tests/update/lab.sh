#!/usr/bin/env bash
# The namespaces of the test machines; lab.py runs this and says there what a lab is.
#
#   lab.sh lab LAB TAG                                    be process 1 of a lab; ends, and it with it, when stdin closes
#   lab.sh boot LAB TAG NAME ADDRESS ROOT [FROM:TO:HOW...]   start a machine in the lab; ends when the machine does
set -euo pipefail

lab() {
  local lab=$1 tag=$2
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$lab"
  # A mount made here later (a disk, a stick that is plugged in) is to show in the machines that run already.
  mount --make-shared "$lab"
  mkdir "$lab"/{disks,merged,media,sticks,cgroup,run}
  # Names of network namespaces stand in /run.
  mount --bind "$lab/run" /run
  mount -t cgroup2 none "$lab/cgroup"
  sweep "$lab"
  mkdir "$lab/cgroup/$tag"
  ip link add name lab type bridge
  ip link set lab up
  ip link set lo up
  echo ready
  exec cat >/dev/null
}

# Control groups of labs whose test session is gone: they are empty and would stay for ever.
sweep() {
  local each
  for each in "$1"/cgroup/nixel-lab-*; do
    if [ -d "$each" ] && ! [ -d "/proc/${each##*-}" ]; then
      find "$each" -depth -type d -exec rmdir {} + 2>/dev/null || true
    fi
  done
}

boot() {
  local lab=$1 tag=$2 name=$3 address=$4 group
  group=$lab/cgroup/$tag/$name
  if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} +; fi
  mkdir "$group"
  echo 0 > "$group/cgroup.procs"
  # The network is the boot's own: with the machine its connections are gone, and say nothing to the other end.
  ip link delete "$name" 2>/dev/null || true
  ip netns add "$name"
  # The hardware address stays the machine's own, or its neighbours would talk to the one before for a while.
  # shellcheck disable=SC2086  # the address's four numbers
  ip link add name "$name" type veth peer name eth0 \
    address "$(IFS=.; set -- $address; printf '02:00:%02x:%02x:%02x:%02x' "$@")" netns "$name"
  ip link set "$name" master lab up
  ip -n "$name" address add "$address/24" dev eth0
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
  # A started machine counts its time from about zero.
  local up
  read -r up _ < /proc/uptime
  up=${up%.*}
  # shellcheck disable=SC2016  # the inner shell expands them
  exec nsenter --net="/run/netns/$name" bash -euc '
    up=$1 name=$2
    shift 2
    ip netns delete "$name"
    exec unshare --mount --propagation slave --pid --fork --kill-child --uts --ipc --cgroup \
      --time --monotonic "-$up" --boottime "-$up" "$@"
  ' bash "$up" "$name" "$0" inside "$@"
}

# As process 1 of the machine, until systemd takes over: what firmware, boot loader and NixOS's stages do.
inside() {
  local lab=$1 name=$3 root=$5 each pid default from to how
  local disk=$lab/disks/$name merged=$lab/merged/$name
  shift 5
  # The lab's /proc is still here, and so this is the number that the test session knows it by.
  read -r pid _ < /proc/self/stat
  mkdir -p "$merged"
  mount -t overlay -o "lowerdir=$root,upperdir=$disk/upper,workdir=$disk/work" overlay "$merged"
  mount --bind "$disk/nix" "$merged/nix"
  mount -t proc proc "$merged/proc"
  mount -t sysfs -o ro sysfs "$merged/sys"
  mount -t tmpfs -o mode=755 tmpfs "$merged/sys/fs/cgroup" 2>/dev/null || true
  mount -t cgroup2 cgroup2 "$merged/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$merged/run"
  mount -t tmpfs -o mode=1777 tmpfs "$merged/tmp"
  mount -t tmpfs -o mode=755 tmpfs "$merged/dev"
  mkdir "$merged"/dev/{pts,shm}
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$merged/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$merged/dev/shm"
  for each in null zero full random urandom tty; do
    touch "$merged/dev/$each"
    mount --bind "/dev/$each" "$merged/dev/$each"
  done
  ln -s pts/ptmx "$merged/dev/ptmx"
  ln -s /proc/self/fd "$merged/dev/fd"
  # Every machine and every start has a number of its own, though the kernel is one.
  cat /proc/sys/kernel/random/uuid > "$merged/run/boot-id"
  mount --bind "$merged/run/boot-id" "$merged/proc/sys/kernel/random/boot_id"
  if ! [ -e "$disk/upper/etc/hostname" ]; then
    md5sum <<<"$name" | cut -c-32 > "$merged/etc/machine-id"
    printf '%s\n' "$name" > "$merged/etc/hostname"
  fi
  mkdir -p "$lab/media/$name"
  mount --rbind "$lab/media/$name" "$merged/media"
  for each in "$@"; do
    IFS=: read -r from to how <<<"$each"
    mkdir -p "$merged/$to"
    mount --rbind "$from" "$merged/$to"
    if [ "$how" = ro ]; then mount -o remount,bind,ro "$merged/$to"; fi
  done
  # The boot loader's file says what to start; a machine that has it and lacks that system does not start.
  if [ -e "$merged/boot/rig/default" ]; then
    read -r default < "$merged/boot/rig/default"
    if ! [ -d "$merged/$default" ]; then
      echo "unbootable: the boot loader's default $default is not in the store"
      exit 66
    fi
    ln -s "$default" "$merged/run/booted-system"
    ln -s "$default" "$merged/run/current-system"
  fi
  hostname "$name"
  echo "pid $pid"
  # Its root is a root of its own and no chroot, in which nobody may make a user namespace.
  cd "$merged"
  pivot_root . .
  umount --lazy .
  exec env -i container=nixel PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd
}

command=$1
shift
"$command" "$@"
