{
  callPackage,
  hypothesis,
  nixel-physics,
  numpy,
  pillow,
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
  nativeCheckInputs = [
    hypothesis
    pillow
  ];
}
