{
  callPackage,
  nixel-physics,
  numpy,
  scipy,
}:

callPackage ./distribution.nix { } {
  name = "reconstruction";
  folder = ../../src/reconstruction;
  description = "From data to pictures: MPI and hologram reconstruction";
  dependencies = [
    nixel-physics
    numpy
    scipy
  ];
}
