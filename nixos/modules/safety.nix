# The safety daemon: the only process that may energise anything.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.services.nixel.safety;
  hardening = import ../lib/hardening.nix;
  inherit (config.nixel.instrument) tables;
  # The devices that the daemon must be let at, and how systemd names the class of each.
  real = builtins.filter (
    unit: (tables.safety.${unit} or null) != null && !(tables.safety.${unit}.simulated or false)
  ) (lib.attrNames classes);
  classes = {
    gpio = "char-gpiochip";
    surveillance = "char-ttyUSB";
  };
  # The libraries for a GPIO chip of the kernel's are no part of a daemon that has none.
  onChip = (tables.safety.gpio.adapter or null) == "gpio";
  withChip = pkgs.python3.withPackages (
    packages: [ packages.nixel-safety ] ++ packages.nixel-safety.optional-dependencies.gpio
  );
  missingGroups = builtins.filter (group: !(config.users.groups ? ${group})) cfg.deviceGroups;
in
{
  imports = [ ./instrument.nix ];

  options.services.nixel.safety = {
    enable = lib.mkEnableOption "the safety daemon, which alone may energise the instrument's outputs";

    package = lib.mkOption {
      type = lib.types.package;
      default = if onChip then withChip else pkgs.python3Packages.nixel-safety;
      defaultText = lib.literalExpression "pkgs.python3Packages.nixel-safety, with its gpio dependencies for an instrument on a GPIO chip";
      example = lib.literalExpression "pkgs.python3Packages.nixel-safety";
      description = "The daemon's own package and nothing that imaging needs, so that its closure stays small.";
    };

    operatorGroup = lib.mkOption {
      type = lib.types.str;
      default = "nixel-operator";
      example = "nixel-operator";
      description = "Whose members may arm and reset. The group is created; anyone may stop.";
    };

    devices = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "/dev/.+|(char|block)-.+");
      default = [ ];
      example = [ "char-ttyUSB" ];
      description = ''
        The devices that the daemon may open, as systemd's `DeviceAllow=` names them. Prefer a class (`char-ttyUSB`,
        `char-gpiochip`) for what can be unplugged: a path is looked up once, when the daemon starts. A simulated
        surveillance unit needs none.
      '';
    };

    deviceGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "dialout" ];
      example = [ "nixel-serial" ];
      description = "The groups that own those devices.";
    };

    ratings = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = lib.literalExpression "./ratings.toml";
      description = ''
        What this instrument's sensors can measure and its parts withstand, from its maker, instead of the shipped
        catalogue. An instrument file with a limit beyond it is refused when the system is built.
      '';
    };

    surveillance = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/dev/nixel/surveillance";
      description = "The serial line of the surveillance unit, if it is another one than the instrument file names.";
    };

    panel = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/run/nixel-virtual-panel/panel";
      description = "The socket of the virtual GPIO chip, if it is another one than the instrument file names.";
    };

    thermal = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/run/nixel-virtual-panel/thermal";
      description = "The folder of a simulated instrument's thermal zones; a real one has those of the kernel.";
    };

    watchdog = lib.mkOption {
      type = lib.types.strMatching "[0-9]+(ms|s)";
      default = "1s";
      example = "500ms";
      description = ''
        How long the control loop may stand still until systemd ends the daemon. The surveillance unit itself opens
        its relay long before, when the heartbeat stops.
      '';
    };

    socket = lib.mkOption {
      type = lib.types.str;
      default = "/run/nixel/safety.sock";
      readOnly = true;
      example = "/run/nixel/safety.sock";
      description = "Where the daemon listens. For other modules to read.";
    };

    events = lib.mkOption {
      type = lib.types.str;
      default = "/var/lib/nixel-safety/events.jsonl";
      readOnly = true;
      example = "/var/lib/nixel-safety/events.jsonl";
      description = ''
        Its event log, a JSON object a line. Files of it that were put aside, and the folder `recordings` with what was
        recorded around each trip, stand beside it. For other modules to read.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = real == [ ] || cfg.devices != [ ];
        message = ''
          services.nixel.safety.devices is empty, so the daemon could not open the ${lib.concatStringsSep " and the " real} unit of a real instrument.
          Set services.nixel.safety.devices = [ ${
            lib.concatMapStringsSep " " (unit: "\"${classes.${unit}}\"") real
          } ], or whichever devices they are.
        '';
      }
      {
        assertion = cfg.devices == [ ] || missingGroups == [ ];
        message = ''
          services.nixel.safety.deviceGroups names ${lib.concatStringsSep ", " missingGroups}, which no module creates.
          Enable nixel.devices, or set services.nixel.safety.deviceGroups to the groups that own the devices.
        '';
      }
    ];

    environment.systemPackages = [ cfg.package ];

    users = {
      users.nixel-safety = {
        isSystemUser = true;
        group = "nixel-safety";
        description = "nixel safety daemon";
      };
      groups = {
        nixel-safety = { };
        ${cfg.operatorGroup} = { };
      };
    };

    systemd.services.nixel-safety = {
      description = "nixel safety daemon";
      wantedBy = [ "multi-user.target" ];
      # It comes up latched and energises nothing, so there is no limit to how often it may come up again.
      unitConfig.StartLimitIntervalSec = 0;

      serviceConfig =
        hardening
        // {
          Type = "notify";
          NotifyAccess = "main";
          WatchdogSec = cfg.watchdog;
          Restart = "always";
          RestartSec = "1s";
          TimeoutStopSec = "5s";
          User = "nixel-safety";
          Group = "nixel-safety";
          RuntimeDirectory = "nixel";
          RuntimeDirectoryMode = "0755";
          StateDirectory = "nixel-safety";
          StateDirectoryMode = "0750";
          ExecStart = utils.escapeSystemdExecArgs (
            [
              (lib.getExe' cfg.package "nixel-safetyd")
              "--instrument"
              config.nixel.instrument.path
              "--socket"
              cfg.socket
              "--events"
              cfg.events
              "--operator-group"
              cfg.operatorGroup
            ]
            ++ lib.optionals (cfg.ratings != null) [
              "--ratings"
              "${cfg.ratings}"
            ]
            ++ lib.optionals (cfg.surveillance != null) [
              "--surveillance"
              cfg.surveillance
            ]
            ++ lib.optionals (cfg.panel != null) [
              "--panel"
              cfg.panel
            ]
            ++ lib.optionals (cfg.thermal != null) [
              "--thermal"
              cfg.thermal
            ]
          );

          # Support reads the event log, others do not.
          UMask = "0027";

          # The peers' users and groups decide who may arm; a user namespace would show all of them as nobody.
          PrivateUsers = false;

          # The daemon asks for SCHED_RR 10 itself, for its own threads, and says in its log whether it got it.
          RestrictRealtime = false;
          LimitRTPRIO = 10;
          SystemCallFilter = hardening.SystemCallFilter ++ [ "sched_setscheduler" ];

          # A control loop that waits for a page from disk is late: its memory is never swapped, nor taken when
          # others want it.
          LimitMEMLOCK = "infinity";
          MemorySwapMax = 0;
          MemoryMin = "64M";
          OOMScoreAdjust = -1000;
        }
        // lib.optionalAttrs (cfg.devices != [ ]) {
          # Real devices stand in the real /dev; all but the named ones are refused by the device policy.
          PrivateDevices = false;
          DeviceAllow = map (device: "${device} rw") cfg.devices;
          SupplementaryGroups = cfg.deviceGroups;
        };
    };
  };
}
