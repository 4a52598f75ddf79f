{ callPackage, hypothesis }:

callPackage ./distribution.nix { } {
  name = "update";
  folder = ../../services/update;
  description = "What decides on the target about an update of the system";
  nativeCheckInputs = [ hypothesis ];
}
