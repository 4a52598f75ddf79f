{
  callPackage,
  hypothesis,
  pyserial,
}:

callPackage ./distribution.nix { } {
  name = "safety";
  folder = ../../services/safety;
  description = "The safety daemon of nixel, its client and its command line";
  dependencies = [ pyserial ];
  nativeCheckInputs = [ hypothesis ];
}
