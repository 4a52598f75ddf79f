# Our six distributions, for every Python of nixpkgs.
final: _prev: {
  nixel-physics = final.callPackage ./physics.nix { };
  nixel-safety = final.callPackage ./safety.nix { };
  nixel-update = final.callPackage ./update.nix { };
  nixel-acquisition = final.callPackage ./acquisition.nix { };
  nixel-reconstruction = final.callPackage ./reconstruction.nix { };
  nixel-imaging = final.callPackage ./imaging.nix { };
}
