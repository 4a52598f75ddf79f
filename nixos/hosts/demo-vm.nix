# The whole appliance in a virtual machine, everything simulated. `nix run` it by its long name,
# .#nixosConfigurations.demo-vm.config.system.build.vm, and look at http://localhost:8642.
{ modulesPath, ... }:

{
  imports = [ (modulesPath + "/virtualisation/qemu-vm.nix") ];

  networking.hostName = "demo";
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "26.05";

  virtualisation = {
    memorySize = 2048;
    cores = 2;
    graphics = false;
    # A demonstration forgets: nothing is left on the machine that shows it.
    diskImage = null;
    fileSystems."/var" = {
      device = "none";
      fsType = "tmpfs";
      neededForBoot = true;
    };
    forwardPorts = [
      {
        from = "host";
        host.address = "127.0.0.1";
        host.port = 8642;
        guest.port = 8642;
      }
    ];
  };

  nixel = {
    base.enable = true;
    instrument = {
      file = ../../src/acquisition/nixel/acquisition/instruments/virtual-scanner.toml;
      virtual.enable = true;
    };
  };

  services.nixel = {
    safety.enable = true;
    imaging = {
      enable = true;
      # The host's port arrives at the machine's network card, and the browser calls it localhost.
      address = "0.0.0.0";
      hostName = "localhost";
      openFirewall = true;
    };
  };
}
