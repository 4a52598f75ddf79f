{
  lib,
  backports-zstd,
  callPackage,
  gpiozero,
  h5py,
  hypothesis,
  lgpio,
  nibabel,
  nixel-physics,
  nixel-safety,
  numpy,
  pillow,
  pint,
  pydantic,
  pydemumble,
  pyelftools,
  pymmcore,
  pynrrd,
  pyserial,
  pyyaml,
  tifffile,
  useq-schema,
  zarr,
}:

let
  # The header of vendor plugins and the examples that new ones begin with.
  plugins = lib.fileset.toSource {
    root = ../plugins;
    fileset = lib.fileset.unions [
      ../plugins/include
      ../plugins/example-c/thermometer.c
      ../plugins/example-rust/Cargo.lock
      ../plugins/example-rust/Cargo.toml
      ../plugins/example-rust/rustfmt.toml
      ../plugins/example-rust/src
    ];
  };
in
callPackage ./distribution.nix { } {
  name = "acquisition";
  folder = ../../src/acquisition;
  description = "Devices, adapters, sequences and writers of nixel, and its virtual instruments";
  dependencies = [
    backports-zstd
    h5py
    nibabel
    nixel-physics
    nixel-safety
    numpy
    pillow
    pint
    pydantic
    pydemumble
    pyelftools
    pynrrd
    pyserial
    pyyaml
    tifffile
    useq-schema
    zarr
  ];
  optional-dependencies = {
    # Only a light on a GPIO line needs these.
    gpio = [
      gpiozero
      lgpio
    ];
    micro-manager = [ pymmcore ];
  };
  nativeCheckInputs = [
    gpiozero
    hypothesis
  ];
  # In a checkout it is a link to pkgs/plugins, which is no part of this source.
  postPatch = ''
    rm nixel/acquisition/plugins/sources
    cp -r --no-preserve=mode ${plugins} nixel/acquisition/plugins/sources
  '';
}
