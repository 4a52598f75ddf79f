# Read-only by design: what an instrument is, is in its system; what it remembers, is in /var; everything else is gone
# after a restart.
{
  config,
  lib,
  ...
}:

let
  cfg = config.nixel.base;
  passwords = lib.concatLists (
    lib.mapAttrsToList (
      name: user:
      map (kind: "users.users.${name}.${kind}") (
        builtins.filter (
          kind: user.${kind} != null && !(lib.hasPrefix "!" user.${kind})
        ) [
          "password"
          "initialPassword"
          "hashedPassword"
          "initialHashedPassword"
        ]
      )
    ) config.users.users
  );
  machineId = "/var/lib/nixel/machine-id";
in
{
  options.nixel.base = {
    enable = lib.mkEnableOption "a system that is read-only by design, with /var as its one persistent folder";

    rootSize = lib.mkOption {
      type = lib.types.str;
      default = "512M";
      example = "25%";
      description = "The size of the root file system, which is in memory.";
    };

    watchdog = lib.mkOption {
      type = lib.types.str;
      default = "30s";
      example = "15s";
      description = ''
        How long the machine may hang until its hardware watchdog restarts it; the longest that the Raspberry Pi's can
        wait is 15s. A machine without one goes without.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.fileSystems ? "/var";
        message = ''
          nixel.base keeps everything that the instrument remembers in /var, and the root file system is in memory.
          Set fileSystems."/var" (or a disko partition mounted there).
        '';
      }
      {
        assertion = config.fileSystems ? "/nix" || config.fileSystems ? "/nix/store";
        message = ''
          nixel.base puts the root file system in memory, so the store must have a file system of its own.
          Set fileSystems."/nix" (or a disko partition mounted there).
        '';
      }
      {
        assertion = passwords == [ ];
        message = ''
          ${lib.concatStringsSep ", " passwords}: no account has a password that is known before the machine is,
          and everything in the configuration ends up in the store, which everybody can read.
          Set hashedPasswordFile to a file on the machine, or let nixel.provisioning make the account.
        '';
      }
      {
        assertion = !config.users.mutableUsers;
        message = ''
          users.mutableUsers is true, but with nixel.base accounts come from the configuration and from provisioning alone.
          Leave users.mutableUsers = false, or set nixel.base.enable = false.
        '';
      }
      {
        assertion = !config.system.autoUpgrade.enable;
        message = ''
          system.autoUpgrade.enable would change an instrument behind its operator's back.
          Leave it false: an update is somebody's decision, checked, on trial, and can be taken back.
        '';
      }
    ];

    fileSystems."/" = lib.mkDefault {
      device = "none";
      fsType = "tmpfs";
      options = [
        "mode=755"
        "size=${cfg.rootSize}"
      ];
    };

    # /etc is an image of the system's own, and nothing can write to it.
    boot.initrd.systemd.enable = true;
    system.etc.overlay = {
      enable = true;
      mutable = false;
    };
    services.userborn.enable = true;
    users.mutableUsers = lib.mkDefault false;
    # Accounts with a way in are made by provisioning, not here; until then nobody can log in, and that is meant.
    users.allowNoPasswordLogin = true;

    # The journal is filed under the machine's identity, which therefore has to survive although /etc does not.
    environment.etc.machine-id = {
      text = "";
      mode = "0444";
    };
    boot.initrd.systemd.services.nixel-machine-id = {
      description = "Identity of this machine";
      wantedBy = [ "initrd.target" ];
      before = [
        "initrd.target"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = [
          "/sysroot/etc"
          "/sysroot/var"
        ];
      };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
      script = ''
        identity=/sysroot${machineId}
        if [ ! -s "$identity" ]; then
          mkdir -p "$(dirname "$identity")"
          tr -d - < /proc/sys/kernel/random/uuid > "$identity.new"
          mv "$identity.new" "$identity"
        fi
        mount --bind "$identity" /sysroot/etc/machine-id
      '';
    };

    # What other programs keep in /etc by habit. Host keys are made once and stay.
    services.openssh.hostKeys = lib.mkDefault [
      {
        type = "ed25519";
        path = "/var/lib/nixel/ssh/ssh_host_ed25519_key";
      }
    ];
    networking.useNetworkd = lib.mkDefault true;
    services.resolved.enable = lib.mkDefault true;

    # A picture says when it was made; timesyncd also remembers the time across restarts of a machine without a clock.
    services.timesyncd.enable = lib.mkDefault true;

    systemd.settings.Manager = {
      RuntimeWatchdogSec = cfg.watchdog;
      RebootWatchdogSec = "2min";
    };

    # An instrument is not a place to work: nothing is installed by hand and no channel lies about.
    nix.channel.enable = false;
    environment.defaultPackages = [ ];
    system.tools.nixos-generate-config.enable = false;
  };
}
