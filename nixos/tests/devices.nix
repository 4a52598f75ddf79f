# The rules are rules to udev, and the groups exist.
{
  nodes.machine.nixel.devices = {
    enable = true;
    camera = true;
    gpio = true;
    kernelModules = [ "ftdi_sio" ];
    serial.surveillance = {
      vendor = "0403";
      product = "6001";
      serial = "A50285BI";
    };
    daq.digitiser = {
      vendor = "0bda";
      product = "2838";
    };
  };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed("udevadm verify /etc/udev/rules.d/99-local.rules")
    machine.succeed("lsmod | grep -q ftdi_sio")
    for group in ("serial", "daq", "gpio", "camera"):
        machine.succeed(f"getent group nixel-{group}")
  '';
}
