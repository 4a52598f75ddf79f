# The instrument: one TOML file, from typed settings or written by hand, checked by the program itself when the system
# is built. Safety daemon, imaging service and virtual scanner all read this one file.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.nixel.instrument;
  toml = pkgs.formats.toml { };
  inherit (cfg) tables;

  withoutNulls = lib.filterAttrsRecursive (_: value: value != null);
  interlocks = tables.safety.interlocks or { };
  outputs = tables.safety.outputs or { };
  kind = tables.instrument.kind or null;
  simulated = tables.instrument.simulated or false;
  ratings = config.services.nixel.safety.ratings or null;
  virtualUnits = builtins.filter (unit: tables.safety.${unit}.simulated or false) [
    "surveillance"
    "gpio"
  ];

  unknownGates = lib.concatLists (
    lib.mapAttrsToList (
      name: output:
      map (gate: "${name} is gated by ${gate}") (
        builtins.filter (gate: !(interlocks ? ${gate})) (output.gated_by or [ ])
      )
    ) outputs
  );
  idleInterlocks = builtins.filter (
    name: !builtins.any (output: builtins.elem name (output.gated_by or [ ])) (lib.attrValues outputs)
  ) (lib.attrNames interlocks);
  virtualDevices = lib.attrNames (
    lib.filterAttrs (_: device: lib.hasPrefix "virtual-" (device.adapter or "")) (tables.devices or { })
  );
in
{
  options.nixel.instrument = {
    settings = lib.mkOption {
      type = lib.types.nullOr (
        lib.types.submodule (import ./instrument-settings.nix { inherit lib toml; })
      );
      default = null;
      example = lib.literalExpression ''
        {
          instrument = {
            name = "bench";
            kind = "scanner";
            description = "The scanner on the bench";
            simulated = true;
          };
        }
      '';
      description = ''
        The instrument, table by table as in its TOML file. What is not an option here is written to the file as it
        is; the program refuses what it does not know when the system is built.
      '';
    };

    file = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = lib.literalExpression "./bench.toml";
      description = ''
        An instrument file written by hand, instead of `settings`. It must be a file of the configuration itself, for
        its contents are read while the configuration is evaluated.
      '';
    };

    tables = lib.mkOption {
      type = toml.type;
      readOnly = true;
      example = lib.literalExpression "{ instrument.simulated = true; }";
      description = "The instrument as Nix sees it, whichever way it was written. For other modules to read.";
    };

    path = lib.mkOption {
      type = lib.types.path;
      readOnly = true;
      example = lib.literalExpression "/nix/store/…-instrument.toml";
      description = "The checked instrument file. For other modules to read.";
    };
  };

  config = {
    nixel.instrument = {
      tables =
        if cfg.file != null then
          lib.importTOML cfg.file
        else if cfg.settings != null then
          withoutNulls cfg.settings
        else
          { };

      # A wrong instrument fails here, at build time, in the program's own words.
      path =
        pkgs.runCommand "instrument.toml"
          {
            nativeBuildInputs = [ pkgs.buildPackages.nixel ];
            source = if cfg.file != null then cfg.file else toml.generate "instrument.toml" tables;
          }
          ''
            cp "$source" ./instrument.toml
            nixel instruments ${
              lib.optionalString (ratings != null) "--ratings ${ratings} "
            }./instrument.toml
            cp ./instrument.toml $out
          '';
    };

    assertions = [
      {
        assertion = cfg.settings == null || cfg.file == null;
        message = ''
          nixel.instrument: both settings and file are set, and one instrument has one description.
          Keep nixel.instrument.settings, or nixel.instrument.file for a file written by hand.
        '';
      }
      {
        assertion =
          (config.services.nixel.safety.enable or false || config.services.nixel.imaging.enable or false)
          -> tables != { };
        message = ''
          services.nixel: there is no instrument to serve.
          Set nixel.instrument.settings, or nixel.instrument.file to a file written by hand.
        '';
      }
    ]
    ++ lib.optionals (tables != { }) [
      {
        assertion = builtins.all (table: (table == kind) == (tables ? ${table})) [
          "scanner"
          "microscope"
        ];
        message = ''
          nixel.instrument.settings.instrument.kind is "${toString kind}", which wants the table of that name and no other.
          Set nixel.instrument.settings.${toString kind}, or correct the kind.
        '';
      }
      {
        assertion = simulated || virtualDevices == [ ];
        message = ''
          nixel.instrument.settings.devices: ${lib.concatStringsSep ", " virtualDevices} cannot be of an instrument that is not simulated.
          Set the adapter of a real device, or nixel.instrument.settings.instrument.simulated = true.
        '';
      }
      {
        assertion = simulated || virtualUnits == [ ];
        message = ''
          nixel.instrument.settings.safety.${lib.concatStringsSep " and " virtualUnits}.simulated is true although the instrument is a real one.
          Real outputs need real devices. Set it to false, and name the serial line or the GPIO chip.
        '';
      }
      {
        assertion = unknownGates == [ ];
        message = ''
          nixel.instrument.settings.safety.outputs: ${lib.concatStringsSep "; " unknownGates}, which is not an interlock.
          Set gated_by to names of nixel.instrument.settings.safety.interlocks (${lib.concatStringsSep ", " (lib.attrNames interlocks)}).
        '';
      }
      {
        assertion = idleInterlocks == [ ];
        message = ''
          nixel.instrument.settings.safety.interlocks: ${lib.concatStringsSep ", " idleInterlocks} gates no output, though people would trust it.
          Name it in the gated_by of an output, or remove it.
        '';
      }
    ];
  };
}
