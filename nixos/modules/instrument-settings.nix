# The tables of an instrument file that must be right before anything is built; everything else passes through.
{ lib, toml }:

let
  quantity = import ../lib/quantity.nix lib;
  inherit (lib) types;

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
in
{
  freeformType = toml.type;

  options = {
    instrument =
      table "What the instrument is."
        {
          name = "bench";
          kind = "scanner";
          description = "The scanner on the bench";
          simulated = true;
        }
        {
          name =
            required (types.strMatching "[a-z0-9][a-z0-9-]{0,63}")
              "Its name in every file and picture: lower-case letters, digits and hyphens."
              "bench";
          kind = required (types.enum [
            "scanner"
            "microscope"
          ]) "Which of the two instruments it is; the table of the same name describes it." "scanner";
          description = required types.str "What people read about it." "The scanner on the bench";
          simulated =
            required types.bool
              "Whether everything recorded with it is simulated. Nothing falls back to simulation by itself."
              true;
        };

    devices =
      tables "The devices by name; each adapter has keys of its own."
        { daq.adapter = "scpi-daq"; }
        {
          adapter = required types.str "Which adapter speaks to the device." "scpi-daq";
        };

    scanner =
      optionalTable "The fields and the receiver, if the instrument is an MPI scanner."
        { base_frequency = "2.5 MHz"; }
        {
          base_frequency =
            required quantity "The clock that the drive frequencies are divided from."
              "2.5 MHz";
          dividers =
            required (types.listOf types.ints.positive)
              "By what the clock is divided for each drive-field axis."
              [
                102
                96
              ];
          drive_field = required (types.listOf quantity) "The amplitude for each drive-field axis." [
            "12 mT"
            "12 mT"
          ];
          limits =
            table "What no sequence may exceed."
              {
                drive_field = "14 mT";
                transmit_time = "120 s";
              }
              {
                drive_field = required quantity "The largest amplitude that a sequence may ask for." "14 mT";
                transmit_time = required quantity "The longest time of transmitting at a stretch." "120 s";
              };
        };

    microscope =
      optionalTable "The optics, if the instrument is a lensless microscope."
        { wavelength = "532 nm"; }
        {
          wavelength = required quantity "Of the light, in vacuum." "532 nm";
          pixel_size = required quantity "Of the sensor." "1.12 um";
          limits =
            table "What no sequence may exceed."
              {
                exposure = "100 ms";
                on_time = "10 s";
              }
              {
                exposure = required quantity "The longest exposure." "100 ms";
                on_time = required quantity "The longest time that the light stays on." "10 s";
              };
        };

    safety =
      table "What the safety daemon reads; it refuses what it does not know."
        {
          rate = "100 Hz";
          lease = "500 ms";
        }
        {
          rate = required quantity "How often the interlocks are judged." "100 Hz";
          lease =
            required quantity "The longest silence of a client that keeps an output on."
              "500 ms";
          surveillance =
            table "The unit that reads the interlocks and holds the relay."
              {
                adapter = "serial-surveillance";
                path = "/dev/nixel/surveillance";
              }
              {
                adapter = required types.str "Which adapter speaks to it." "serial-surveillance";
                path = required types.str "Its serial line." "/dev/nixel/surveillance";
                simulated = lib.mkOption {
                  type = types.bool;
                  default = false;
                  example = true;
                  description = "Whether it is a virtual one.";
                };
              };
          interlocks =
            tables "What must be healthy, by name."
              {
                emergency-stop = {
                  kind = "boolean";
                  source = "digital:0";
                  healthy = true;
                  max_age = "250 ms";
                };
              }
              {
                kind = required (types.enum [
                  "boolean"
                  "limit"
                ]) "Whether it is a contact or a limit of a measured value." "boolean";
                source =
                  required (types.strMatching "(analog|digital):(0|[1-9][0-9]?)")
                    "The channel of the surveillance unit."
                    "digital:0";
                max_age = required quantity "The oldest reading that still counts." "250 ms";
                trip = optional quantity "The value at which a limit trips." "60 degC";
                healthy = optional types.bool "The state of a healthy contact." true;
              };
          outputs =
            tables "What may be energised, by name."
              {
                amplifier = {
                  sink = "ac";
                  gated_by = [ "emergency-stop" ];
                };
              }
              {
                sink = required types.str "The channel of the surveillance unit that permits it." "ac";
                gated_by = required (types.nonEmptyListOf types.str) "The interlocks that must be healthy." [
                  "emergency-stop"
                ];
              };
        };
  };
}
