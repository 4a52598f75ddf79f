# Nothing but /var survives a restart, nothing can write to /etc, and the machine stays the machine that it was.
{
  nodes.machine =
    { lib, ... }:
    {
      nixel.base.enable = true;
      # The test's own back door needs no password; the module refuses the empty one that tests give to root.
      users.users.root.initialHashedPassword = lib.mkForce null;
      virtualisation = {
        diskImage = null;
        emptyDiskImages = [ 512 ];
        fileSystems."/var" = {
          device = "/dev/vdb";
          fsType = "ext4";
          autoFormat = true;
          neededForBoot = true;
        };
      };
    };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed("findmnt --kernel --types tmpfs /")
    machine.fail("touch /etc/anything")
    machine.succeed("touch /anything /var/lib/kept")
    identity = machine.succeed("cat /etc/machine-id")
    assert len(identity.strip()) == 32, identity

    machine.shutdown()
    machine.start()
    machine.wait_for_unit("multi-user.target")
    machine.fail("test -e /anything")
    machine.succeed("test -e /var/lib/kept")
    assert machine.succeed("cat /etc/machine-id") == identity
    machine.succeed("journalctl --boot=-1 --lines=1")
  '';
}
