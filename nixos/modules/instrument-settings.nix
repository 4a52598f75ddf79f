# The tables of an instrument file that must be right before anything is built; everything else passes through.
{ lib, toml }:

let
  quantity = import ../lib/quantity.nix lib;
  inherit (lib) types;

  inherit (import ../lib/tables.nix { inherit lib toml; })
    table
    optionalTable
    tables
    required
    optional
    list
    ;

  point = types.addCheck (types.listOf quantity) (axes: builtins.length axes == 3);
  corners = {
    low = required point "Its corner of the lowest coordinates (x, y, z)." [
      "-60 mm"
      "-22 mm"
      "-22 mm"
    ];
    high = required point "Its corner of the highest coordinates." [
      "-25 mm"
      "22 mm"
      "22 mm"
    ];
  };
  rounds =
    description:
    list description
      [
        {
          name = "the bore";
          axis = "x";
          diameter = "60 mm";
          length = "300 mm";
        }
      ]
      {
        name = required types.str "What people call it." "the bore";
        axis = required (types.enum [
          "x"
          "y"
          "z"
        ]) "Along which axis it lies." "x";
        diameter = required quantity "Its diameter." "60 mm";
        length = required quantity "Its length." "300 mm";
      };

  simulated = lib.mkOption {
    type = types.bool;
    default = false;
    example = true;
    description = "Whether it is a virtual one.";
  };
  source = types.strMatching "(analog|digital):(0|[1-9][0-9]?)|gpio:(0|[1-9][0-9]{0,2})|cpu:temperature";
  level = types.enum [
    "high"
    "low"
  ];
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
          robot =
            optional types.str
              "The stage that moves the calibration sample; needed where there is more than one."
              "robot";
          field_control =
            optionalTable
              "How the drive field is brought to its amplitude and held there; the DAQ needs feedback_channels for it."
              {
                tolerance = "50 uT";
                voltage_step = "0.4 V";
              }
              {
                tolerance = optional quantity "How far from its goal the field may be; 50 uT if left out." "50 uT";
                voltage_step = required quantity "The largest change from one measurement to the next." "0.4 V";
                steps =
                  optional types.ints.positive
                    "The measurements within which the field must be there; 20 if left out."
                    20;
                periods = optional types.ints.positive "Of each measurement; 4 if left out." 4;
                interval =
                  optional quantity "The longest time until it is looked at again; 5 s if left out."
                    "5 s";
              };
          geometry =
            optionalTable
              "What the robot moves and what stands around it: every move is checked against it before anything moves."
              {
                clearance = "1 mm";
                sample = [
                  "4 mm"
                  "4 mm"
                  "4 mm"
                ];
              }
              {
                clearance = required quantity "How near anything may come to anything." "1 mm";
                sample = required point "The largest sample, around the robot's position." [
                  "4 mm"
                  "4 mm"
                  "4 mm"
                ];
                arm =
                  optionalTable "The robot's arm, relative to its position."
                    {
                      low = [
                        "2 mm"
                        "-3 mm"
                        "-3 mm"
                      ];
                      high = [
                        "400 mm"
                        "3 mm"
                        "3 mm"
                      ];
                    }
                    corners;
                bores = rounds "What nothing may leave.";
                cylinders = rounds "What is round and solid.";
                boxes =
                  list "Where nothing may be."
                    [
                      {
                        name = "the phantom holder";
                        low = [
                          "-60 mm"
                          "-22 mm"
                          "-22 mm"
                        ];
                        high = [
                          "-25 mm"
                          "22 mm"
                          "22 mm"
                        ];
                      }
                    ]
                    (corners // { name = required types.str "What people call it." "the phantom holder"; });
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
          deadlines =
            optionalTable "How many deadlines of the control loop may be missed; 10 within 1 s if left out."
              {
                limit = 10;
                window = "1 s";
              }
              {
                limit = required types.ints.positive "As many may be missed within the window." 10;
                window = required quantity "The window." "1 s";
              };
          surveillance =
            optionalTable "The serial unit that reads interlocks and holds a relay, if there is one."
              {
                adapter = "serial-surveillance";
                path = "/dev/nixel/surveillance";
              }
              {
                adapter = required types.str "Which adapter speaks to it." "serial-surveillance";
                path = required types.str "Its serial line." "/dev/nixel/surveillance";
                inherit simulated;
              };
          gpio =
            optionalTable "The GPIO chip that reads interlocks and holds relays, if there is one."
              {
                adapter = "gpio";
                chip = "pinctrl-rp1";
                charge_pump = 27;
                inputs."5" = {
                  pull = "up";
                  active = "low";
                };
              }
              {
                adapter = required (types.enum [
                  "gpio"
                  "virtual-gpio"
                ]) "Whether it is a chip of the kernel's or a virtual one." "gpio";
                inherit simulated;
                charge_pump =
                  optional types.ints.unsigned
                    "The line that toggles while outputs are permitted; outputs need one."
                    27;
                hold =
                  optional quantity
                    "For how long the relays surely hold without it; 50 ms if left out."
                    "50 ms";
                inputs =
                  tables "The input lines by number."
                    {
                      "5" = {
                        pull = "up";
                        active = "low";
                      };
                    }
                    {
                      pull = required (types.enum [
                        "up"
                        "down"
                        "none"
                      ]) "The resistor, which decides what a broken wire reads as." "up";
                      active = required level "The level at which the line reads true." "low";
                    };
                outputs =
                  tables "The output lines by number."
                    {
                      "17" = {
                        active = "high";
                        readback = 26;
                      };
                    }
                    {
                      active = required level "The level that energises." "high";
                      readback =
                        required types.ints.unsigned "The input line that is active while it really is on."
                          26;
                    };
              };
          interlocks =
            tables "What must be healthy, by name; docs/safety.md tells what each key means."
              {
                emergency-stop = {
                  kind = "boolean";
                  source = "digital:0";
                  healthy = true;
                  max_age = "250 ms";
                  emergency_stop = true;
                };
              }
              {
                kind = required (types.enum [
                  "boolean"
                  "heartbeat"
                  "limit"
                  "rate"
                  "two-channel"
                ]) "What is judged: a contact, a beat, a level, its rate of change, or two that must agree." "boolean";
                source = optional source "What it reads; a two-channel interlock has sources instead." "digital:0";
                sources = optional (types.listOf source) "What a two-channel interlock reads." [
                  "digital:0"
                  "digital:1"
                ];
                max_age = required quantity "The oldest reading that still counts." "250 ms";
                trip = optional quantity "The level or rate at which it trips." "60 degC";
                sensor =
                  optional types.str "The sensor, whose range in the catalogue of ratings holds the level."
                    "pt1000-class-b";
                part =
                  optional types.str "What it protects, whose rating in the catalogue the level keeps to."
                    "drive-coil";
                healthy = optional (types.either types.bool (
                  types.listOf types.bool
                )) "The state of a healthy contact, or of each of two." true;
                bypass = optional quantity "For how long it may be bypassed; never if left out." "10 min";
                emergency_stop =
                  optional types.bool "Whether it is the emergency stop, which nothing bypasses or delays."
                    true;
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
                sink =
                  required (types.strMatching "ac|gpio:(0|[1-9][0-9]{0,2})")
                    "The relay of the surveillance unit, or the line of the GPIO chip, that permits it."
                    "ac";
                gated_by = required (types.nonEmptyListOf types.str) "The interlocks that must be healthy." [
                  "emergency-stop"
                ];
                after = optional (types.nonEmptyListOf types.str) "The outputs that must be on before it." [
                  "mains"
                ];
                settle = optional quantity "For how long it is on before what comes after it." "2 s";
                on_time = optional quantity "The longest time on at a stretch." "10 s";
                duty = optional quantity "The largest share of time on in the long run." "50 percent";
              };
        };
  };
}
