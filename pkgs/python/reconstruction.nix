{
  array-api-compat,
  array-api-strict,
  callPackage,
  dask,
  distributed,
  h5py,
  hypothesis,
  nixel-physics,
  numpy,
  pillow,
  scipy,
  threadpoolctl,
}:

callPackage ./distribution.nix { } {
  name = "reconstruction";
  folder = ../../src/reconstruction;
  description = "From data to pictures: MPI and hologram reconstruction";
  dependencies = [
    array-api-compat
    dask
    distributed
    nixel-physics
    numpy
    scipy
    threadpoolctl
  ];
  nativeCheckInputs = [
    array-api-strict
    h5py
    hypothesis
    pillow
  ];
}
