{
  callPackage,
  h5py,
  hypothesis,
  nibabel,
  nixel-physics,
  nixel-safety,
  numpy,
  pillow,
  pint,
  pydantic,
  pynrrd,
  tifffile,
  zarr,
}:

callPackage ./distribution.nix { } {
  name = "acquisition";
  folder = ../../src/acquisition;
  description = "Devices, adapters, sequences and writers of nixel, and its virtual instruments";
  dependencies = [
    h5py
    nibabel
    nixel-physics
    nixel-safety
    numpy
    pillow
    pint
    pydantic
    pynrrd
    tifffile
    zarr
  ];
  nativeCheckInputs = [ hypothesis ];
}
