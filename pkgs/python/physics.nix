{
  array-api-compat,
  array-api-strict,
  callPackage,
  hypothesis,
  numpy,
  scipy,
}:

callPackage ./distribution.nix { } {
  name = "physics";
  folder = ../../src/physics;
  description = "Forward models of nixel: optics, image sensors, the MPI signal, phantoms";
  dependencies = [
    array-api-compat
    numpy
    scipy
  ];
  nativeCheckInputs = [
    array-api-strict
    hypothesis
  ];
}
