# Updates that somebody decides on: checked before anything is copied, tried before they are kept, taken back if the
# instrument is not well. What decides is nixel-update; this module says whom it trusts, which machine this is and how
# long things may take. The parts: update/checks.nix (what well means), update/boot.nix (what the next start brings),
# update/stick.nix (a stick that is plugged in).
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.nixel.update;
  toml = pkgs.formats.toml { };
  json = pkgs.formats.json { };
  state = "/var/lib/nixel-update";
  caches = config.nixel.cache.from or { };

  seconds = lib.types.ints.positive;
  name = lib.types.strMatching "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";

  identity = json.generate "system.json" cfg.identity;
  # Of the new system's own, so that an old updater needs to know no new kind of check.
  health = pkgs.writeShellScript "health" ''
    export PATH=${lib.makeBinPath [ config.systemd.package ]}
    command=$1
    shift
    exec ${lib.getExe' cfg.package "nixel-update"} health "$command" --config ${cfg.checkFile} "$@"
  '';

  # What the service group may have done as root: each form of arguments in full, as a regular expression of sudo's.
  # No option is among them that names another configuration, another root folder or other keys, and none that starts
  # a program, so that there is no way from here to a shell.
  folder = "/[A-Za-z0-9._/-]+";
  id = "[A-Za-z0-9][A-Za-z0-9._-]*";
  allowed = [
    "(status|history)( --json)?"
    "offer( ${folder})?( --json| --allow-older| --all)*"
    "install( ${folder})?( --yes| --allow-older| --json| --all)*"
    "install --offer ${id}( --yes| --json| --asks-confirmation)*"
    "receive( --allow-older)*"
    "diff /run/current-system -( --json| --all)*"
    "confirm( ${id})?( --wait| --json)*"
    "rollback( --offer| --yes| --json| --all)*"
    "set-clock [0-9: -]+"
  ];
in
{
  imports = [
    ./update/boot.nix
    ./update/checks.nix
    ./update/stick.nix
  ];

  options.nixel.update = {
    enable = lib.mkEnableOption "updates from a stick or over ssh, tried before they are kept";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.python3Packages.nixel-update;
      defaultText = lib.literalExpression "pkgs.python3Packages.nixel-update";
      example = lib.literalExpression "pkgs.python3Packages.nixel-update";
      description = "The package with the nixel-update command.";
    };

    product = lib.mkOption {
      type = name;
      default = "nixel";
      example = "acme-scanner";
      description = "The line of instruments that it belongs to. A system of another product is refused.";
    };

    host = lib.mkOption {
      type = name;
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      example = "microscope-pi5";
      description = ''
        The machine that the system is made for: the name of its configuration. A system of another host is refused, so
        two configurations that must not take each other's place have two names.
      '';
    };

    version = lib.mkOption {
      type = lib.types.strMatching "[^[:cntrl:]]{1,64}";
      default =
        cfg.package.version
        + lib.optionalString (cfg.revision != "") "+${builtins.substring 0 7 cfg.revision}";
      defaultText = lib.literalExpression ''"''${package.version}+''${the revision's first seven characters}"'';
      example = "2.3";
      description = "What the system calls itself, for a person.";
    };

    revision = lib.mkOption {
      type = lib.types.strMatching "[0-9a-f]*(-dirty)?";
      default = "";
      example = lib.literalExpression ''self.rev or self.dirtyRev or ""'';
      description = "The revision of the system's source.";
    };

    date = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.unsigned;
      default = null;
      example = lib.literalExpression "self.lastModified";
      description = ''
        When the system's source was committed, in seconds since 1970. It says which of two systems is the older one,
        which is installed only with an explicit word; a clock before it cannot be right.
      '';
    };

    trustedKeys = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "[A-Za-z0-9._-]+:[A-Za-z0-9+/]{43}=");
      example = [ "acme-20260501:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo=" ];
      description = ''
        The public keys of those who may sign a system for this machine, as `./deploy.sh key new` prints them. An empty
        list means nobody: such a machine takes no update.
      '';
    };

    keepGenerations = lib.mkOption {
      type = lib.types.addCheck lib.types.int (number: number >= 2) // {
        description = "integer of at least 2";
      };
      default = 5;
      example = 3;
      description = "How many systems stay on the machine, the running one and the one before it always among them.";
    };

    switchWithin = lib.mkOption {
      type = seconds;
      default = 600;
      example = 900;
      description = "How long a switch to another system may take, in seconds.";
    };

    checkWithin = lib.mkOption {
      type = seconds;
      default = 300;
      example = 600;
      description = "How long the health check may take as a whole, in seconds.";
    };

    confirmWithin = lib.mkOption {
      type = seconds;
      default = 120;
      example = 300;
      description = "How long a deployer has to come back after a switch over the network, in seconds.";
    };

    collect = lib.mkOption {
      type = lib.types.str;
      default = "weekly";
      example = "Sun 03:00";
      description = "When what no kept system needs is removed from the store, as systemd's `OnCalendar=` writes it.";
    };

    identity = lib.mkOption {
      inherit (json) type;
      readOnly = true;
      example = lib.literalExpression ''{ host = "scanner"; }'';
      description = "What the system says of itself in nixel/system.json. For other modules to read.";
    };

    state = lib.mkOption {
      type = lib.types.str;
      default = state;
      readOnly = true;
      example = state;
      description = "Where the history and an update under way are kept. For other modules to read.";
    };
  };

  config = lib.mkIf cfg.enable {
    warnings = lib.optional (cfg.trustedKeys == [ ]) ''
      nixel.update.trustedKeys is empty, so this machine will never take an update; a new system needs a new disk or card.
      Set it to the line that ./deploy.sh key new prints.
    '';

    assertions = [
      {
        assertion = cfg.date != null;
        message = ''
          nixel.update.date is not set, so nobody could tell whether a system is older than the running one.
          Set nixel.update.date = self.lastModified and nixel.update.revision = self.rev or self.dirtyRev or "",
          where self is the flake that the system is made in.
        '';
      }
      {
        assertion = config.nix.settings.require-sigs;
        message = ''
          nix.settings.require-sigs is false, so Nix would take paths that nobody signed.
          nixel.update needs it: Leave it true, or set nixel.update.enable = false.
        '';
      }
      {
        assertion = builtins.all (user: user == "root") config.nix.settings.trusted-users;
        message = ''
          nix.settings.trusted-users names ${lib.concatStringsSep ", " config.nix.settings.trusted-users}: whom Nix trusts may put unsigned paths into the store.
          nixel.update needs that to be root alone: Leave it unset, or set nixel.update.enable = false.
        '';
      }
      {
        assertion = config.security.sudo.enable && !config.security.sudo-rs.enable;
        message = ''
          nixel.update lets the group nixel-service install without a password by a rule that only sudo itself understands.
          Leave security.sudo.enable = true and security.sudo-rs.enable = false.
        '';
      }
    ];

    nixel.update.identity = {
      format = 1;
      inherit (cfg)
        product
        host
        version
        revision
        date
        ;
    };

    environment = {
      systemPackages = [ cfg.package ];
      etc."nixel/update.toml".source = toml.generate "update.toml" {
        trusted-keys = cfg.trustedKeys;
        inherit (cfg) state;
        keep-generations = cfg.keepGenerations;
        switch-within = cfg.switchWithin;
        check-within = cfg.checkWithin;
        confirm-within = cfg.confirmWithin;
      };
    };

    # Files and no links, for a system is also looked at where its store is not /nix.
    system.systemBuilderCommands = ''
      mkdir $out/nixel
      cp ${identity} $out/nixel/system.json
      cp ${health} $out/nixel/health
    '';

    # Whoever builds this system for another machine, and switches by hand, learns it before anything is changed. This
    # is the incoming system's own check, and what runs is only read.
    system.preSwitchChecks.nixelHost = ''
      running=/run/current-system/nixel/system.json
      if [ -f "$running" ]; then
        machine="$(${lib.getExe pkgs.jq} --raw-output '"\(.product) \(.host)"' "$running")"
        if [ "$machine" != ${lib.escapeShellArg "${cfg.product} ${cfg.host}"} ]; then
          echo "This system is for" ${lib.escapeShellArg "${cfg.product} ${cfg.host}"}", and this machine is $machine. Nothing was changed."
          echo "Take the system that was made for this machine."
          exit 1
        fi
      fi
    '';

    nix.settings = {
      experimental-features = [ "nix-command" ];
      # An instrument asks nobody on the internet, and takes nothing that only somebody there has signed.
      substituters = lib.mkForce (lib.attrNames caches);
      trusted-public-keys = lib.mkForce (lib.unique (cfg.trustedKeys ++ lib.attrValues caches));
      # Who brings a system over ssh speaks to the store; what is not signed it does not take from them.
      allowed-users = [
        "root"
        "@wheel"
        "@nixel-service"
      ];
    };

    users.groups.nixel-service = { };
    security.sudo.extraRules = [
      {
        groups = [ "nixel-service" ];
        commands = map (arguments: {
          command = "/run/current-system/sw/bin/nixel-update ^${arguments}$";
          options = [
            "NOPASSWD"
            "NOSETENV"
          ];
        }) allowed;
      }
    ];

    systemd.tmpfiles.settings."10-nixel-update" = {
      ${state}.d.mode = "0755";
      "/run/nixel-update".d.mode = "0755";
    };

    # A restart in the middle of a trial has brought the old system; this ends the transaction and says so in the
    # history. It switches systems itself if it has to, so a switch must neither wait for it (it counts as started at
    # once), nor start it a second time (it stays active), nor stop or restart it.
    systemd.services.nixel-update-resume = {
      description = "An update that was interrupted, brought to its end";
      wantedBy = [ "multi-user.target" ];
      restartIfChanged = false;
      unitConfig = {
        RequiresMountsFor = [ state ];
        X-StopOnRemoval = false;
      };
      path = [
        config.nix.package
        config.systemd.package
        pkgs.openssl
      ];
      serviceConfig = {
        Type = "exec";
        RemainAfterExit = true;
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe' cfg.package "nixel-update")
          "resume"
        ];
        # The update does not stand: that is for the history, and no fault of this unit.
        SuccessExitStatus = 1;
      };
    };

    # The updater itself lets old generations go; what they alone needed goes when nobody waits for the disk.
    systemd.services.nixel-update-collect = {
      description = "What no kept system needs, removed from the store";
      unitConfig.ConditionPathExists = "!${state}/transaction.json";
      serviceConfig = {
        Type = "oneshot";
        # It reads every account's links to the store and removes what none leads to, so it sees the whole machine.
        ExecStart = "${lib.getExe' config.nix.package "nix-store"} --gc";
        NoNewPrivileges = true;
        PrivateNetwork = true;
        CPUSchedulingPolicy = "idle";
        IOSchedulingClass = "idle";
      };
    };
    systemd.timers.nixel-update-collect = {
      description = "What no kept system needs, removed from the store now and then";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = cfg.collect;
        RandomizedDelaySec = "1h";
        Persistent = true;
      };
    };
  };
}
