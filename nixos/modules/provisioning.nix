# What no image should contain: name, network and accounts, read on first boot from nixel.toml on the boot partition.
#
# /etc cannot be written and accounts are not mutable, so the program writes to one persistent folder, and this module
# has the system look there. The accounts are declared; only their secrets come from outside.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.nixel.provisioning;
  hardening = import ../lib/hardening.nix;
  # A system may import this module without the safety daemon's.
  safety = config.services.nixel.safety or { };

  # A folder of root's own: sshd refuses keys below a folder that somebody else may write.
  state = "/var/lib/nixel-provision";
  wireless = "/var/lib/iwd";
  accounts = [
    "operator"
    "technician"
  ];
  passwordFile = name: "${state}/passwords/${name}";

  # The file of the system's own, in the place of the one in /etc that would otherwise be declared.
  fromState = name: {
    source = lib.mkForce "${state}/${name}";
    mode = "direct-symlink";
  };

  # Logins, sshd and the network wait; without a file, or with a wrong one, they come up as they would have.
  beforeAnyoneEnters = [
    "network-pre.target"
    "systemd-networkd.service"
    "iwd.service"
    "sshd.service"
    "systemd-user-sessions.service"
  ];

  secretKinds = [
    "password"
    "hashedPassword"
    "initialPassword"
    "initialHashedPassword"
  ];
  declaredPasswords = lib.concatLists (
    lib.mapAttrsToList (
      name: user:
      map (kind: "users.users.${name}.${kind}") (
        builtins.filter (kind: user.${kind} != null && !(lib.hasPrefix "!" user.${kind})) secretKinds
      )
    ) config.users.users
  );
  boot = config.fileSystems.${cfg.bootPartition} or null;
  readByOthers =
    boot != null
    && boot.fsType == "vfat"
    && !(
      builtins.elem "umask=0077" boot.options
      || (builtins.elem "fmask=0077" boot.options && builtins.elem "dmask=0077" boot.options)
    );
in
{
  options.nixel.provisioning = {
    enable = lib.mkEnableOption "provisioning from nixel.toml on the boot partition";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.python3Packages.nixel-update;
      defaultText = lib.literalExpression "pkgs.python3Packages.nixel-update";
      example = lib.literalExpression "pkgs.python3Packages.nixel-update";
      description = "The package with the nixel-provision command.";
    };

    bootPartition = lib.mkOption {
      type = lib.types.strMatching "/.+";
      default = "/boot";
      example = "/boot/firmware";
      description = ''
        Where the partition is mounted that a person can write on another machine, and on which nixel.toml is looked
        for: the one with the firmware, on a Raspberry Pi.
      '';
    };

    locales = lib.mkOption {
      type = lib.types.nonEmptyListOf (lib.types.strMatching "[a-z]{2,3}_[A-Z]{2}[.]UTF-8");
      default = [
        "en_US.UTF-8"
        "en_GB.UTF-8"
        "de_DE.UTF-8"
        "fr_FR.UTF-8"
      ];
      example = [
        "en_US.UTF-8"
        "sv_SE.UTF-8"
      ];
      description = "The locales that nixel.toml may choose from; each is built into the system.";
    };

    interface = lib.mkOption {
      type = lib.types.strMatching "[a-z0-9*?._-]{1,15}";
      default = "en*";
      example = "enp3s0";
      description = ''
        Which interfaces the network of nixel.toml is for, if the file names none. An instrument that has a second
        interface for its data acquisition names the first one here.
      '';
    };

    operatorGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = lib.optional (safety.enable or false) safety.operatorGroup;
      defaultText = lib.literalExpression "the safety daemon's operatorGroup, if it is enabled";
      example = [ "nixel-operator" ];
      description = "The groups of the operator account: what it may do beyond looking.";
    };

    technicianGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [
        "wheel"
        "systemd-journal"
      ]
      ++ cfg.operatorGroups;
      defaultText = lib.literalExpression ''[ "wheel" "systemd-journal" ] and operatorGroups'';
      example = [ "wheel" ];
      description = "The groups of the technician account; with wheel it may become root with its password.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !config.users.mutableUsers;
        message = ''
          nixel.provisioning gives accounts their passwords on every start, and users.mutableUsers would keep older ones.
          Set users.mutableUsers = false.
        '';
      }
      {
        assertion = config.services.userborn.enable;
        message = ''
          nixel.provisioning has userborn read the accounts' password hashes again after the first start brought them.
          Set services.userborn.enable = true (nixel.base does).
        '';
      }
      {
        assertion = config.networking.useNetworkd && !config.networking.networkmanager.enable;
        message = ''
          nixel.provisioning describes the network to systemd-networkd.
          Set networking.useNetworkd = true and networking.networkmanager.enable = false.
        '';
      }
      {
        assertion = declaredPasswords == [ ];
        message = ''
          ${lib.concatStringsSep ", " declaredPasswords}: no account has a password before the machine is provisioned,
          and one that is declared can be read by everybody in the store.
          Remove it and write password-hash under [operator] or [technician] of nixel.toml.
        '';
      }
      {
        assertion = config.time.timeZone == null;
        message = ''
          time.timeZone is set, but with nixel.provisioning the time zone comes from nixel.toml, and is UTC without one.
          Set time.timeZone = null.
        '';
      }
      {
        assertion = boot != null;
        message = ''
          nixel.provisioning.bootPartition is ${cfg.bootPartition}, where no file system is mounted.
          Set it to where the boot partition is, or set fileSystems."${cfg.bootPartition}".
        '';
      }
      {
        assertion = !readByOthers;
        message = ''
          fileSystems."${cfg.bootPartition}" is readable by every account, and nixel.toml holds secrets until it is applied.
          Set fileSystems."${cfg.bootPartition}".options = [ "umask=0077" ].
        '';
      }
    ];

    users.users = {
      operator = {
        isNormalUser = true;
        description = "Operator";
        extraGroups = cfg.operatorGroups;
        hashedPasswordFile = passwordFile "operator";
      };
      technician = {
        isNormalUser = true;
        description = "Field technician";
        extraGroups = cfg.technicianGroups;
        hashedPasswordFile = passwordFile "technician";
      };
    };
    services.openssh.authorizedKeysFiles = [ "${state}/keys/%u" ];

    i18n.extraLocales = map (locale: "${locale}/UTF-8") cfg.locales;
    networking.wireless.iwd.enable = true;

    environment.etc = {
      hostname = fromState "hostname";
      "locale.conf" = fromState "locale.conf";
      localtime = fromState "localtime";
      "vconsole.conf" = lib.mkIf config.console.enable (fromState "vconsole.conf");
      # Before NixOS' own networks, which are 40 and 99, and after a host's for a device that must not be touched.
      "systemd/network/30-nixel-provisioned.network" = fromState "wired.network";
    };
    # What a shell or a session exports, which NixOS otherwise fixes when the system is built. The program that wrote
    # these files let nothing into them but names.
    environment.extraInit =
      lib.concatMapStrings
        (file: ''
          if [ -r ${state}/${file} ]; then
            set -a
            . ${state}/${file}
            set +a
          fi
        '')
        [
          "locale.conf"
          "keyboard"
        ];

    # Until something is provisioned, what is declared holds: copied once, never over what is there.
    systemd.tmpfiles.settings."10-nixel-provision" = {
      ${state}.d.mode = "0755";
      ${wireless}.d.mode = "0700";
      "${state}/hostname".C.argument = "${pkgs.writeText "hostname" "${config.networking.hostName}\n"}";
      "${state}/locale.conf".C.argument = "${pkgs.writeText "locale.conf" "LANG=${config.i18n.defaultLocale}\n"}";
      "${state}/localtime".L.argument = "/etc/zoneinfo/UTC";
      "${state}/vconsole.conf".C.argument = "${pkgs.writeText "vconsole.conf" "KEYMAP=${config.console.keyMap}\n"}";
    };

    systemd.services.nixel-provision = {
      description = "Provisioning from ${cfg.bootPartition}/nixel.toml";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-pre.target" ];
      before = beforeAnyoneEnters;
      unitConfig = {
        ConditionPathExists = "${cfg.bootPartition}/nixel.toml";
        RequiresMountsFor = [
          cfg.bootPartition
          state
          wireless
        ];
      };

      serviceConfig = hardening // {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = utils.escapeSystemdExecArgs (
          [
            (lib.getExe' cfg.package "nixel-provision")
            "apply"
            "--boot"
            cfg.bootPartition
            "--interface"
            cfg.interface
          ]
          ++ lib.concatMap (locale: [
            "--locale"
            locale
          ]) cfg.locales
        );
        # Who stands at a machine that refuses its file sees why.
        StandardOutput = "journal+console";
        StandardError = "journal+console";

        # What it is for; everything else stays read-only.
        ReadWritePaths = [
          cfg.bootPartition
          state
          wireless
        ];
      };
    };

    systemd.services.nixel-provision-activate = {
      description = "What was provisioned, put into effect";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-pre.target" ];
      after = [ "nixel-provision.service" ];
      before = beforeAnyoneEnters;
      unitConfig.RequiresMountsFor = [ state ];
      path = [
        config.systemd.package
        pkgs.unixtools.hostname
      ];

      serviceConfig = hardening // {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe' cfg.package "nixel-provision")
          "activate"
        ];

        # The machine's own host name is set, by a program with the right to do that and no other.
        ProtectHostname = false;
        CapabilityBoundingSet = "CAP_SYS_ADMIN";
        SystemCallFilter = hardening.SystemCallFilter ++ [ "sethostname" ];
        # The service manager restarts a unit for root alone, and in a user namespace nobody is.
        PrivateUsers = false;
      };
    };

    environment.systemPackages = [ cfg.package ];
  };
}
