# The scanner's disk: the store, and /var for everything that the instrument remembers. The root is in memory.
{ pkgs, ... }:

{
  disko.devices.disk.main = {
    type = "disk";
    device = "/dev/nvme0n1";
    # Of the image that is built; the last partition grows to its disk's end at the first start.
    imageSize = "24G";
    content = {
      type = "gpt";
      partitions = {
        boot = {
          size = "1G";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
            mountOptions = [ "umask=0077" ];
          };
        };
        store = {
          size = "18G";
          content = {
            type = "filesystem";
            format = "ext4";
            mountpoint = "/nix";
            mountOptions = [ "noatime" ];
          };
        };
        state = {
          size = "100%";
          content = {
            type = "filesystem";
            format = "ext4";
            mountpoint = "/var";
            mountOptions = [ "x-systemd.growfs" ];
          };
        };
      };
    };
  };
  # disko hands a tree of modules to a builder that, in newer nixpkgs, also wants to know the kernel's file in it.
  disko.imageBuilder.pkgs = pkgs.extend (
    _: previous: {
      aggregateModules =
        modules: previous.aggregateModules modules // { inherit (builtins.head modules) target; };
    }
  );

  # systemd-repart grows the partition, and the mount option above the file system in it.
  boot.initrd.systemd.repart = {
    enable = true;
    device = "/dev/nvme0n1";
  };
  # Definitions and partitions of one type are matched in their order, so the store's has to be here too.
  systemd.repart.partitions = {
    "20-store".Type = "linux-generic";
    "30-state".Type = "linux-generic";
  };
}
