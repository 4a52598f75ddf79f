{
  callPackage,
  h5py,
  hypothesis,
  nixel-physics,
  nixel-safety,
  numpy,
  pillow,
  pint,
  pydantic,
  tifffile,
}:

callPackage ./distribution.nix { } {
  name = "acquisition";
  folder = ../../src/acquisition;
  description = "Devices, adapters, sequences and writers of nixel, and its virtual instruments";
  dependencies = [
    h5py
    nixel-physics
    nixel-safety
    numpy
    pillow
    pint
    pydantic
    tifffile
  ];
  nativeCheckInputs = [ hypothesis ];
}
