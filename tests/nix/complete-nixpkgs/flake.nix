# A nixpkgs tree that lacks some package sets, with stand-ins for what our flake needs of them, so that the whole flake
# can be evaluated. It takes the place of the input nixpkgs; the tree itself is given as its own input.
{
  inputs.tree.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { tree, ... }:
    {
      inherit (tree) legacyPackages lib nixosModules;
      # What `import nixpkgs` reads. A path below it (nixpkgs + "/nixos/...") is refused by Nix: our flake takes none.
      __toString =
        _:
        builtins.toFile "nixpkgs.nix" ''
          arguments:
          import ${tree} (
            arguments // { overlays = arguments.overlays or [ ] ++ [ (import ${./stand-ins.nix}) ]; }
          )
        '';
    };
}
