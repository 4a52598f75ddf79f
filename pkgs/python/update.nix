{
  lib,
  callPackage,
  hypothesis,
  openssl,
}:

callPackage ./distribution.nix { } {
  name = "update";
  folder = ../../services/update;
  description = "What decides on the target about an update of the system";
  nativeCheckInputs = [
    hypothesis
    openssl
  ];
  # It signs and checks systems.
  makeWrapperArgs = [
    "--prefix"
    "PATH"
    ":"
    (lib.makeBinPath [ openssl ])
  ];
}
