# The drivers stand where programs look for them. (A virtual machine has no NVIDIA card, so this is Mesa's side.)
{
  nodes.machine.nixel.gpu = {
    enable = true;
    driver = "mesa";
  };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed("test -d /run/opengl-driver/lib")
  '';
}
