{
  array-api-compat,
  array-api-strict,
  callPackage,
  hypothesis,
  numpy,
  scipy,
  threadpoolctl,
}:

callPackage ./distribution.nix { } {
  name = "physics";
  folder = ../../src/physics;
  description = "Forward models of nixel: optics, image sensors, the MPI signal, phantoms";
  dependencies = [
    array-api-compat
    numpy
    scipy
    threadpoolctl
  ];
  nativeCheckInputs = [
    array-api-strict
    hypothesis
  ];
}
