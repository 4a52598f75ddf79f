# Our six distributions, and what nixpkgs lacks beside them, for every Python of nixpkgs.
final: _prev: {
  nixel-physics = final.callPackage ./physics.nix { };
  nixel-safety = final.callPackage ./safety.nix { };
  nixel-update = final.callPackage ./update.nix { };
  nixel-acquisition = final.callPackage ./acquisition.nix { };
  nixel-reconstruction = final.callPackage ./reconstruction.nix { };
  nixel-imaging = final.callPackage ./imaging.nix { };

  pymmcore = final.callPackage ./pymmcore.nix { };
  useq-schema = final.callPackage ./useq-schema.nix { };
}
