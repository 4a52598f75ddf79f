# The microscope's SD card: one ext4 file system with the store, /boot and /var on it. The root is in memory.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:

let
  registration = "/disk/nix-path-registration";
  part = folder: {
    device = "/disk/${folder}";
    fsType = "none";
    options = [ "bind" ];
    depends = [ "/disk" ];
    neededForBoot = true;
  };
in
{
  imports = [ (modulesPath + "/installer/sd-card/sd-image.nix") ];

  fileSystems = {
    # The image's own idea of a root is the card; ours is memory, and the card stands at /disk.
    "/" = lib.mkForce {
      device = "none";
      fsType = "tmpfs";
      options = [
        "mode=755"
        "size=${config.nixel.base.rootSize}"
      ];
    };
    "/disk" = {
      device = "/dev/disk/by-label/${config.sdImage.rootVolumeLabel}";
      fsType = "ext4";
      options = [ "noatime" ];
      neededForBoot = true;
    };
    "/nix" = part "nix";
    "/var" = part "var";
    # U-Boot reads what to start from the card, so that is where a new system has to say so.
    "/boot" = part "boot";
    # The one partition that a person can write on another machine: nixel.toml is put there. (The image's module would
    # mount it only when asked to, and for everyone to read.)
    "/boot/firmware".options = lib.mkForce [
      "nofail"
      "umask=0077"
    ];
  };

  # The image's module would bring the drivers of every machine there is, and this kernel is one board's.
  hardware.enableAllHardware = lib.mkForce false;
  # U-Boot between firmware and kernel gives a choice of systems to start, and with it a way back. The overlays of
  # config.txt reach the kernel because the firmware applies them to the device tree that U-Boot passes on.
  hardware.raspberry-pi.firmware.uboot.enable = true;

  sdImage = {
    # 256 MiB of firmware and overlays do not fit in the default 30.
    firmwareSize = 256;
    nixPathRegistrationFile = registration;
    expandOnBoot = false;
    populateRootCommands = ''
      mkdir -p ./files/boot ./files/var
      ${config.boot.loader.generic-extlinux-compatible.populateCmd} -c ${config.system.build.toplevel} -d ./files/boot
    '';
  };

  # The first start: the card is larger than the image, and the store does not yet know what is in it. (The image's own
  # unit for the latter writes to /etc, which nobody can here.)
  systemd.services.register-nix-paths.script = lib.mkForce ''
    ${lib.getExe' config.nix.package "nix-store"} --load-db < ${registration}
    ${lib.getExe' config.nix.package "nix-env"} --profile /nix/var/nix/profiles/system --set /run/current-system
    rm -f ${registration}
  '';
  systemd.services.nixel-grow-card = {
    description = "Grow the file system to the size of the card";
    wantedBy = [ "sysinit.target" ];
    after = [ "local-fs.target" ];
    before = [
      "register-nix-paths.service"
      "shutdown.target"
      "sysinit.target"
    ];
    conflicts = [ "shutdown.target" ];
    unitConfig = {
      DefaultDependencies = false;
      ConditionPathExists = registration;
    };
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
    };
    path = [
      pkgs.e2fsprogs
      pkgs.parted
      pkgs.util-linux
    ];
    script = ''
      partition=$(findmnt --noheadings --output SOURCE --nofsroot /disk)
      disk=$(lsblk --noheadings --paths --output PKNAME "$partition")
      echo ',+' | sfdisk --no-reread --partno 2 "$disk"
      partprobe "$disk"
      resize2fs "$partition"
    '';
  };
}
