# A key lets the technician in and nothing else does; the bundle holds the journal and none of the secrets in it.
{
  nodes.machine =
    { lib, ... }:
    {
      nixel.support.enable = true;
      users.users = lib.genAttrs [ "technician" "operator" ] (_: {
        isNormalUser = true;
      });
    };

  testScript = ''
    machine.wait_for_unit("sshd.service")
    machine.succeed("ssh-keygen -q -t ed25519 -N ''' -f /tmp/key")
    for name in ("technician", "operator"):
        machine.succeed(f"install -D -m 644 /tmp/key.pub /home/{name}/.ssh/authorized_keys")
        machine.succeed(f"chown -R {name} /home/{name}/.ssh")
    ssh = "ssh -i /tmp/key -o StrictHostKeyChecking=no -o BatchMode=yes "
    # A key that an account gave itself counts for nothing.
    machine.fail(ssh + "technician@localhost true")
    machine.succeed("sshd -T | grep -x 'passwordauthentication no'")
    machine.succeed("sshd -T | grep -x 'permitrootlogin no'")

    machine.succeed("logger password=hunter2 kept")
    machine.succeed("logger -- 'the last line'")
    machine.succeed("nixel-support bundle --out /tmp/bundle.tar.xz")
    machine.succeed("tar -xJf /tmp/bundle.tar.xz -C /tmp")
    machine.succeed("grep 'the last line' /tmp/nixel-support/journal.txt")
    machine.fail("grep -r hunter2 /tmp/nixel-support")
    machine.fail("nixel-support bundle --out /tmp/bundle.tar.xz")
    machine.succeed("lspci && lsusb")
  '';
}
