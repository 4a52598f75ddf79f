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
  disabledTests = [
    # It reads the instruments that nixel-acquisition ships, which are no part of this source.
    "test_the_shipped_instruments_are_right"
  ];
}
