#!/bin/bash
# A test system's bin/switch-to-configuration: the links that NixOS's sets, and the boot loader's default.
set -eu
# shellcheck source=tests/update/orders.sh
. "$(dirname "$(dirname "$(readlink -f "$0")")")/nixel/orders.sh"

# As systemd-boot's installer: the new entry is on the disk before the default names it.
install_boot_loader() {
  echo "$system" > /boot/rig/default.new
  sync /boot/rig/default.new
  mv /boot/rig/default.new /boot/rig/default
}

activate() {
  ln -sfn "$system" /run/current-system.new
  mv -T /run/current-system.new /run/current-system
}

begin "${1:-}"
case $action in
  switch) install_boot_loader && activate ;;
  boot) install_boot_loader ;;
  test) activate ;;
  dry-activate) echo "would activate $system" ;;
  *)
    echo "switch-to-configuration: $action is no action" >&2
    finish 1
    ;;
esac
end
