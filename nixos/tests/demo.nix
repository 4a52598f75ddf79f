# What the tests of several modules run: the simulated scanner.
{
  nixel.instrument = {
    file = ../../src/acquisition/nixel/acquisition/instruments/virtual-scanner.toml;
    virtual.enable = true;
  };
  services.nixel.safety.enable = true;
  virtualisation.memorySize = 1536;
}
