# A file on the boot partition names the machine and gives an account its password and key, once; a wrong one changes
# nothing.
{
  nodes.machine =
    { lib, pkgs, ... }:
    {
      nixel = {
        base.enable = true;
        provisioning = {
          enable = true;
          bootPartition = "/firmware";
          locales = [ "de_DE.UTF-8" ];
          interface = "nixel0";
        };
      };
      services.openssh.enable = true;
      users.users.root.initialHashedPassword = lib.mkForce null;
      environment.systemPackages = [ pkgs.mkpasswd ];

      virtualisation = {
        diskImage = null;
        emptyDiskImages = [
          512
          64
        ];
        fileSystems = {
          "/var" = {
            device = "/dev/vdb";
            fsType = "ext4";
            autoFormat = true;
            neededForBoot = true;
          };
          "/firmware" = {
            device = "/dev/vdc";
            fsType = "vfat";
            autoFormat = true;
            options = [ "umask=0077" ];
          };
        };
      };
    };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed("hostname | grep -x machine")

    # A plain password: refused as a whole, and the reason lies beside the file.
    machine.succeed("printf 'host-name = \"scanner-07\"\\n[technician]\\npassword = \"plain\"\\n' > /firmware/nixel.toml")
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("multi-user.target")
    machine.fail("systemctl is-active nixel-provision.service")
    machine.succeed("grep technician.password /firmware/nixel-errors.txt")
    machine.succeed("hostname | grep -x machine")

    machine.succeed("ssh-keygen -q -t ed25519 -N ''' -f /var/key")
    password = machine.succeed("mkpasswd -m yescrypt correct-horse").strip()
    key = machine.succeed("cat /var/key.pub").strip()
    machine.succeed(f"""cat > /firmware/nixel.toml << 'END'
    host-name = "scanner-07"
    locale = "de_DE.UTF-8"
    time-zone = "Europe/Berlin"
    keyboard = "de"
    [network]
    address = "192.0.2.7/24"
    [wifi]
    ssid = "Clinic"
    psk = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    [technician]
    password-hash = "{password}"
    ssh-keys = ["{key}"]
    END""")
    for start in range(2):
        machine.shutdown()
        machine.start()
        machine.wait_for_unit("multi-user.target")
        machine.succeed("hostname | grep -x scanner-07")
        machine.succeed("date +%Z | grep -E 'CES?T'")
        machine.succeed("bash -lc 'echo $LANG $XKB_DEFAULT_LAYOUT' | grep -x 'de_DE.UTF-8 de'")
        machine.succeed("test -s /etc/systemd/network/30-nixel-provisioned.network")
        machine.fail("test -e /firmware/nixel.toml -o -e /firmware/nixel-errors.txt")
        machine.fail("grep -r f42c6fc5 /firmware")
        machine.succeed("stat -c %a /var/lib/iwd/Clinic.psk | grep -x 600")
        assert password in machine.succeed("getent shadow technician")
        machine.succeed("getent shadow operator | grep -v '[$]y[$]'")
        machine.wait_for_unit("sshd.service")
        machine.succeed("ssh -i /var/key -o StrictHostKeyChecking=no technician@localhost true")
  '';
}
