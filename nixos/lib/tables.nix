# Options for the tables of a TOML file: what is declared is checked, and everything else passes through.
{ lib, toml }:

let
  inherit (lib) types;
in
{
  table =
    description: example: options:
    lib.mkOption {
      inherit description example;
      type = types.submodule {
        freeformType = toml.type;
        inherit options;
      };
    };
  optionalTable =
    description: example: options:
    lib.mkOption {
      inherit description example;
      default = null;
      type = types.nullOr (
        types.submodule {
          freeformType = toml.type;
          inherit options;
        }
      );
    };
  tables =
    description: example: options:
    lib.mkOption {
      inherit description example;
      default = { };
      type = types.attrsOf (
        types.submodule {
          freeformType = toml.type;
          inherit options;
        }
      );
    };

  required =
    type: description: example:
    lib.mkOption { inherit type description example; };
  optional =
    type: description: example:
    lib.mkOption {
      inherit description example;
      type = types.nullOr type;
      default = null;
    };

  list =
    description: example: options:
    lib.mkOption {
      inherit description example;
      default = null;
      type = types.nullOr (
        types.listOf (
          types.submodule {
            freeformType = toml.type;
            inherit options;
          }
        )
      );
    };
}
