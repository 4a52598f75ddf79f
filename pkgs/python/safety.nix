{
  callPackage,
  gpiozero,
  hypothesis,
  lgpio,
  pyserial,
}:

callPackage ./distribution.nix { } {
  name = "safety";
  folder = ../../services/safety;
  description = "The safety daemon of nixel, its client and its command line";
  dependencies = [ pyserial ];
  # Only an instrument on a GPIO chip of the kernel's needs these; the module adds them to its daemon.
  optional-dependencies.gpio = [
    gpiozero
    lgpio
  ];
  nativeCheckInputs = [
    gpiozero
    hypothesis
  ];
  testFiles = [ ../../services/safety/examples ];
  disabledTests = [
    # It reads the instruments that nixel-acquisition ships, which are no part of this source.
    "test_the_shipped_instruments_are_right"
  ];
}
