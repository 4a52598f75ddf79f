# What "the instrument is well" means on this machine: checks by kind and name, those that follow from what is enabled
# among them, written to the file that nixel-update health reads.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.nixel.update;
  json = pkgs.formats.json { };
  inherit (lib) types;
  # A system may import this module without the others'.
  safety = config.services.nixel.safety or { };
  imaging = config.services.nixel.imaging or { };
  devices = config.nixel.devices or { };
  tables = config.nixel.instrument.tables or { };

  option =
    type: description: example:
    lib.mkOption { inherit type description example; };
  optional =
    type: default: description: example:
    lib.mkOption {
      inherit
        type
        default
        description
        example
        ;
    };
  path = types.strMatching "/.*";

  # The checks of one kind: what all have in common, and their own.
  checksOf =
    {
      description,
      example,
      within,
      steady ? 0,
      options,
    }:
    lib.mkOption {
      inherit description example;
      default = { };
      type = types.attrsOf (
        types.submodule {
          options = options // {
            enable = optional types.bool true "Whether it is looked at." false;
            within =
              optional types.ints.positive within "How long it may take until it is good, in seconds."
                90;
            steady =
              optional types.ints.unsigned steady
                "For how long it has to be good at a stretch, in seconds; a service that falls over again is not."
                5;
          };
        }
      );
    };

  # As nixel.update.health.config reads them: only what belongs to the kind, with the names that it has there.
  written = {
    safety = check: { inherit (check) socket; };
    http =
      check:
      {
        inherit (check) path expect;
        name = if check.hostName == null then "" else check.hostName;
      }
      // (
        if check.socket != null then { inherit (check) socket; } else { inherit (check) host port; }
      );
    devices = check: { inherit (check) paths; };
    units = check: { inherit (check) ignored; };
    disk = check: {
      inherit (check) path writable;
      free = check.free * 1024 * 1024;
    };
    clock = check: { not_before = check.notBefore; };
    command = check: { argv = check.command; };
  };
  all = lib.concatMapAttrs (
    kind: write:
    lib.mapAttrs' (
      name: check:
      lib.nameValuePair "${kind}-${name}" (
        write check
        // {
          inherit kind;
          inherit (check) within steady;
        }
      )
    ) (lib.filterAttrs (_: check: check.enable) cfg.checks.${kind})
  ) written;

  slowest = lib.foldl' lib.max 0 (map (check: check.within) (lib.attrValues all));
  unreachable = lib.attrNames (
    lib.filterAttrs (_: check: check.enable && (check.socket == null) == (check.port == null)) cfg.checks.http
  );

  # Device nodes are known by the names that udev rules of ours give them, or stand in the instrument file.
  isNode = value: builtins.isString value && lib.hasPrefix "/dev/" value;
  surveillance =
    if safety.surveillance or null != null then
      safety.surveillance
    else
      tables.safety.surveillance.path or null;
  nodes = lib.unique (
    lib.optionals (devices.enable or false) (
      map (name: "/dev/nixel/${name}") (lib.attrNames (devices.serial // devices.daq))
    )
    ++ builtins.filter isNode (
      lib.optional (!(tables.safety.surveillance.simulated or false)) surveillance
      ++ lib.concatMap lib.attrValues (lib.attrValues (tables.devices or { }))
    )
  );

  # What has to be free, in MiB: on the boot partition the next kernel, on the others what a running system needs.
  disks = lib.filterAttrs (name: _: config.fileSystems ? "/${name}") {
    nix = 256;
    boot = 96;
    var = 64;
  };
in
{
  options.nixel.update = {
    checks = {
      safety = checksOf {
        description = ''
          Safety daemons that have to answer, and must name no interlock and no latched cause that they did not name
          before. FAULT by itself is no reason: they come up latched.
        '';
        example = {
          daemon.within = 30;
        };
        within = 60;
        steady = 3;
        options.socket = option path "Where the daemon listens." "/run/nixel/safety.sock";
      };

      http = checksOf {
        description = "Services that have to answer a GET with the status 200, over TCP or a Unix socket.";
        example = {
          viewer = {
            port = 8080;
            path = "/ready";
          };
        };
        within = 120;
        steady = 3;
        options = {
          host = optional types.str "127.0.0.1" "Where the service listens." "10.10.0.1";
          port = optional (types.nullOr types.port) null "The port that it listens at." 8080;
          socket = optional (types.nullOr path) null "The Unix socket that it listens at instead." "/run/viewer.sock";
          path = option path "What is asked for." "/ready";
          hostName =
            optional (types.nullOr types.str) null "The name that it answers to, if not its address."
              "localhost";
          expect = optional (types.attrsOf (
            types.oneOf [
              types.str
              types.int
              types.bool
            ]
          )) { } "What its JSON has to hold, by key; keys of inner objects after a dot." { "instrument.name" = "bench"; };
        };
      };

      devices = checksOf {
        description = "Devices of which those have to be there that were there before.";
        example = {
          camera.paths = [ "/dev/v4l/by-path/platform-unicam" ];
        };
        within = 60;
        options.paths = option (types.listOf path) "Device nodes, or links to them." [ "/dev/nixel/surveillance" ];
      };

      units = checksOf {
        description = "Looks at the failed units of systemd: there must be none that had not failed before.";
        example = {
          failed.ignored = [ "debug-*.service" ];
        };
        within = 90;
        steady = 5;
        options.ignored =
          optional (types.listOf types.str) [ ] "Patterns of the units that do not count, `*` for anything."
            [ "debug-*.service" ];
      };

      disk = checksOf {
        description = "File systems that have to take data and have room.";
        example = {
          data = {
            path = "/data";
            free = 2048;
          };
        };
        within = 10;
        options = {
          path = option path "A folder on it." "/var";
          free = optional types.ints.unsigned 64 "How much has to be free, in MiB." 256;
          writable = optional types.bool true "Whether it must not be mounted read-only." false;
        };
      };

      clock = checksOf {
        description = "Dates that the clock must not be before, nor more than 20 years after.";
        example = {
          system.enable = false;
        };
        within = 120;
        options.notBefore = option types.ints.unsigned "The date, in seconds since 1970." 1790000000;
      };

      command = checksOf {
        description = "Programs that have to end with the status 0; what they print last is shown.";
        example = {
          camera.command = [
            "/run/current-system/sw/bin/rpicam-hello"
            "--list-cameras"
          ];
        };
        within = 60;
        options.command = option (types.nonEmptyListOf types.str) "The program, by its full path, and its arguments." [
          "/run/current-system/sw/bin/rpicam-hello"
          "--list-cameras"
        ];
      };
    };

    checkFile = lib.mkOption {
      type = types.path;
      readOnly = true;
      example = lib.literalExpression "/nix/store/…-health.json";
      description = "The checks as the program reads them. For other modules to read.";
    };

    checkTables = lib.mkOption {
      inherit (json) type;
      readOnly = true;
      example = lib.literalExpression "{ clock-system.kind = \"clock\"; }";
      description = "The checks as Nix sees them, by kind and name. For other modules to read.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.checkWithin > slowest;
        message = ''
          nixel.update.checkWithin is ${toString cfg.checkWithin} s, but one of the checks may take ${toString slowest} s.
          Set it to more than that, or the check's own limit to less.
        '';
      }
      {
        assertion = unreachable == [ ];
        message = ''
          nixel.update.checks.http: ${lib.concatStringsSep ", " unreachable} is to be asked either at a port or at a socket.
          Set port or socket, and only one of them.
        '';
      }
    ];

    nixel.update = {
      checkTables = all;
      checkFile = json.generate "health.json" {
        format = 1;
        checks = all;
      };

      checks = {
        safety = lib.mkIf (safety.enable or false) { daemon.socket = lib.mkDefault safety.socket; };
        http = lib.mkIf (imaging.enable or false) {
          imaging = {
            # A service that listens everywhere is asked where nobody's cable matters.
            host = lib.mkDefault (
              {
                "0.0.0.0" = "127.0.0.1";
                "::" = "::1";
              }
              .${imaging.address} or imaging.address
            );
            port = lib.mkDefault imaging.port;
            path = lib.mkDefault "/api/v1/status";
            hostName = lib.mkDefault "localhost";
            expect = lib.mkIf (tables ? instrument) { "instrument.name" = tables.instrument.name; };
          };
        };
        devices = lib.mkIf (nodes != [ ]) { instrument.paths = lib.mkDefault nodes; };
        # What waits for a network fails without a cable, and whether one is plugged in says nothing about a system.
        units.failed.ignored = [
          "*-wait-online.service"
          "*-wait-online@*.service"
          "nixel-update-*"
        ];
        disk = lib.mapAttrs (name: free: {
          path = lib.mkDefault "/${name}";
          free = lib.mkDefault free;
        }) disks;
        clock.system.notBefore = lib.mkDefault (if cfg.date == null then 0 else cfg.date);
      };
    };
  };
}
