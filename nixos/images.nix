# Full system images, by the system on which they can be asked for.
{ nixosConfigurations }:
let
  built = name: nixosConfigurations.${name}.config.system.build;
  cards = {
    microscope-image = (built "microscope").sdImage;
    microscope-pi5-image = (built "microscope-pi5").sdImage;
  };
in
{
  # The cards are the same derivations here: an emulator or a remote builder of aarch64 builds them.
  x86_64-linux = cards // {
    scanner-image = (built "scanner").diskoImages;
  };
  aarch64-linux = cards;
}
