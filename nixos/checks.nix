# What `nix flake check` builds beyond the packages.
{ pkgs, ... }: { inherit (pkgs) nixel; }
