# What the next start brings. Both boot loaders are written by `switch-to-configuration boot`, and a power cut in the
# middle must leave the old choice or the new one:
#
# - systemd-boot: its builder writes kernel, initrd and entry to a file beside, fsyncs it and renames it, the choice
#   (loader.conf) last, and syncs the whole partition at the end.
# - U-Boot's extlinux: its builder renames too, the choice (extlinux.conf) last, but fsyncs nothing. A file that is
#   renamed to a new name before its data are on the disk can be empty after a power cut, and a kernel that is there
#   is never written again. Its folders therefore are made synchronous (chattr +S, which new files inherit), so that
#   what is written is on the disk before it is renamed. FAT knows no such thing.
{ config, lib, ... }:

let
  cfg = config.nixel.update;
  inherit (config.boot) loader;
  extlinux = loader.generic-extlinux-compatible;
  folders = map (each: each.path) extlinux.mirroredBoots;
  onFat = builtins.filter (folder: (config.fileSystems.${folder}.fsType or "") == "vfat") folders;
  limit =
    if loader.systemd-boot.enable then
      loader.systemd-boot.configurationLimit
    else
      extlinux.configurationLimit;
  synchronous = folder: {
    ${folder} = {
      d.mode = "0755";
      h.argument = "+S";
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = loader.systemd-boot.enable || extlinux.enable;
        message = ''
          nixel.update needs a boot loader whose choice can be changed in one step, and is known to keep to that.
          Set boot.loader.systemd-boot.enable = true, or boot.loader.generic-extlinux-compatible.enable = true.
        '';
      }
      {
        assertion = !extlinux.enable || onFat == [ ];
        message = ''
          nixel.update: ${lib.concatStringsSep ", " onFat} is on a FAT file system, where a power cut can leave an empty kernel behind extlinux.conf.
          Set fileSystems."${lib.concatStringsSep ", " onFat}".fsType = "ext4", or boot with systemd-boot.
        '';
      }
      {
        assertion = limit == null || limit >= cfg.keepGenerations;
        message = ''
          nixel.update.keepGenerations is ${toString cfg.keepGenerations}, but the boot loader offers ${toString limit} systems only.
          Set its configurationLimit to at least as many.
        '';
      }
      {
        assertion = config.system.switch.enable;
        message = ''
          nixel.update tries a system by switching to it, and system.switch.enable is false.
          Leave it true, or set nixel.update.enable = false.
        '';
      }
    ];

    # systemd-boot's builder refuses to write beside a file that a power cut left half written.
    system.preSwitchChecks.nixelLeftovers = lib.mkIf loader.systemd-boot.enable ''
      if [ "''${2-}" = boot ] || [ "''${2-}" = switch ]; then
        rm -f ${lib.escapeShellArg "${loader.efi.efiSysMountPoint}/loader/loader.tmp"}
      fi
    '';

    systemd.tmpfiles.settings."20-nixel-update-boot" = lib.mkIf extlinux.enable (
      lib.mkMerge (
        lib.concatMap (folder: [
          (synchronous "${folder}/nixos")
          (synchronous "${folder}/extlinux")
        ]) folders
      )
    );
  };
}
