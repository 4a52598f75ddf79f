# The last resort works once it has been asked for twice: a container of a file in the store, without a registry and
# without rights that its user does not have.
{
  nodes.machine =
    { pkgs, ... }:
    {
      nixel.vendor.podman = {
        enable = true;
        acceptUnreproducible = true;
      };
      virtualisation.diskSize = 2048;
      users.users.technician.isNormalUser = true;
      environment.etc."vendor-image".source = pkgs.dockerTools.buildImage {
        name = "vendor";
        tag = "test";
        copyToRoot = pkgs.pkgsStatic.busybox;
        config.Cmd = [
          "/bin/echo"
          "the vendor's program answers"
        ];
      };
    };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    as_technician = "runuser -l technician -c"
    machine.succeed(f"{as_technician} 'podman load --input /etc/vendor-image'")
    answer = machine.succeed(f"{as_technician} 'podman run --rm --network=none localhost/vendor:test'")
    assert "the vendor's program answers" in answer, answer
  '';
}
