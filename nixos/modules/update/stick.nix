# A stick that is plugged in: mounted where it can do nothing, looked at, and announced to whoever logs in or stands at
# the console. Nothing is installed by itself.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.nixel.update;
  hardening = import ../../lib/hardening.nix;
  state = "/run/nixel-update";
  folder = "${state}/stick";
  motd = "${state}/motd";
  issue = "/run/issue.d/nixel-update.issue";
  reload = "/run/agetty.reload";

  # What a stick makes the program say ends up on terminals, and in a file in which agetty reads backslashes.
  announce = pkgs.writeShellScript "nixel-update-announce" ''
    set -u
    words=$(nixel-update offer ${folder} 2>&1) && words="$words

    Nothing is installed by itself. To see it again and decide: sudo nixel-update install"
    printf '\nA stick is plugged in.\n%s\n\n' "$words" | LC_ALL=C tr -d '\000-\010\013-\037\177' > ${motd}
    sed 's/\\/\\\\/g' ${motd} > ${issue}
    touch ${reload}
  '';
  withdraw = pkgs.writeShellScript "nixel-update-withdraw" ''
    rm -f ${motd} ${issue}
    touch ${reload}
  '';
in
{
  options.nixel.update.stick = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether a stick that is plugged in is looked at. Installing from one by hand needs no detection.";
    };

    label = lib.mkOption {
      type = lib.types.strMatching "[A-Za-z0-9_*?-]{1,16}";
      default = "NIXEL*";
      example = "ACME-UPDATE";
      description = "The label of the file system on a stick that is looked at, `*` for anything.";
    };

    fileSystems = lib.mkOption {
      type = lib.types.nonEmptyListOf (
        lib.types.enum [
          "vfat"
          "exfat"
        ]
      );
      default = [
        "vfat"
        "exfat"
      ];
      example = [ "exfat" ];
      description = "The kinds of file systems that the kernel is let read from a stick that anybody may have made.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.stick.enable) {
    boot.supportedFilesystems = lib.genAttrs cfg.stick.fileSystems (_: true);

    services.udev.extraRules = lib.concatStringsSep ", " [
      ''ACTION!="remove"''
      ''SUBSYSTEM=="block"''
      ''ENV{ID_BUS}=="usb"''
      ''ENV{ID_FS_USAGE}=="filesystem"''
      ''ENV{ID_FS_LABEL}=="${cfg.stick.label}"''
      ''TAG+="systemd"''
      ''ENV{SYSTEMD_WANTS}+="nixel-update-offer@%k.service"''
    ];

    # Shown at the login on a terminal and over ssh; without a stick there is no such file, and nothing is shown.
    users.motdFile = lib.mkIf (config.users.motd == "") (lib.mkDefault motd);
    systemd.tmpfiles.settings."10-nixel-update-stick" = {
      ${folder}.d.mode = "0755";
      "/run/issue.d".d.mode = "0755";
      ${reload}.f.mode = "0600";
    };

    # Mounts where everybody else sees it too, which none of a service's own walls would let it do. It takes nothing
    # from the stick but its file system, and ends with the device: a stick that is pulled is unmounted.
    systemd.services."nixel-update-stick@" = {
      description = "The update stick at /dev/%I";
      bindsTo = [ "dev-%i.device" ];
      after = [ "dev-%i.device" ];
      unitConfig.ConditionPathIsMountPoint = "!${folder}";
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = lib.concatStringsSep " " [
          (lib.getExe' pkgs.util-linux "mount")
          "--types ${lib.concatStringsSep "," cfg.stick.fileSystems}"
          "--options ro,nosuid,nodev,noexec"
          "/dev/%I"
          folder
        ];
        ExecStop = "${lib.getExe' pkgs.util-linux "umount"} --lazy ${folder}";
        NoNewPrivileges = true;
        CapabilityBoundingSet = "CAP_SYS_ADMIN";
        RestrictAddressFamilies = "none";
        IPAddressDeny = "any";
        MemoryDenyWriteExecute = true;
        RestrictRealtime = true;
        RestrictNamespaces = true;
        LockPersonality = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = [
          "@system-service"
          "@mount"
        ];
      };
    };

    systemd.services."nixel-update-offer@" = {
      description = "What the update stick at /dev/%I offers";
      requires = [ "nixel-update-stick@%i.service" ];
      bindsTo = [ "nixel-update-stick@%i.service" ];
      after = [ "nixel-update-stick@%i.service" ];
      restartIfChanged = false;
      path = [
        cfg.package
        config.nix.package
        pkgs.coreutils
        pkgs.gnused
        pkgs.openssl
      ];
      environment = {
        # The store answers through its daemon; nothing of it can be written from here.
        NIX_REMOTE = "daemon";
        XDG_CACHE_HOME = "/tmp";
      };
      serviceConfig = hardening // {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = announce;
        ExecStopPost = withdraw;
        # A stick may be large, and all of it is read before a word is said; somebody may scan meanwhile.
        CPUSchedulingPolicy = "idle";
        IOSchedulingClass = "idle";

        # What it says, and the mark that makes the logins on terminals show it.
        ReadWritePaths = [
          state
          "/run/issue.d"
          reload
        ];
        # For everybody to read.
        UMask = "0022";
      };
    };
  };
}
