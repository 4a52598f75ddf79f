# Full system images, by the system that they are for.
{ nixosConfigurations }:
let
  built = name: nixosConfigurations.${name}.config.system.build;
in
{
  x86_64-linux.scanner-image = (built "scanner").diskoImages;
  aarch64-linux = {
    microscope-image = (built "microscope").sdImage;
    microscope-pi5-image = (built "microscope-pi5").sdImage;
  };
}
