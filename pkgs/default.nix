# The overlay: our packages, what nixpkgs lacks, vendor software.
final: prev: {
  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [ (import ./python) ];

  # The page, as static files.
  nixel-page = final.callPackage ./page.nix { };

  # What a person types: the `nixel` command with the page beside it, and the safety daemon's and update's own.
  nixel = final.callPackage ./nixel.nix { };
  nixel-demo = final.callPackage ./demo.nix { };

  # Vendors' software: how it is packaged, and what is packaged of it (docs/vendor.md).
  fromDeb = final.callPackage ./vendor/from-deb.nix { };
  fhs = final.callPackage ./vendor/fhs.nix { };
  slicer = final.callPackage ./vendor/slicer.nix { };
  nixel-plugin-example-c = final.callPackage ./plugins/example-c { };
  nixel-plugin-example-rust = final.callPackage ./plugins/example-rust { };
}
