# What every service of ours starts from: a process that can reach nothing but its own state. A unit takes this set and
# opens, with `//`, what it cannot do without, saying why in a comment. Nothing here is repeated in a unit.
{
  # No way to rights that the unit does not start with.
  NoNewPrivileges = true;
  CapabilityBoundingSet = "";
  AmbientCapabilities = "";
  PrivateUsers = true;
  RestrictNamespaces = true;
  RestrictSUIDSGID = true;
  KeyringMode = "private";

  # A file system of which only the unit's own folders can be written, and devices that are none.
  ProtectSystem = "strict";
  # With ProtectProc= and the like systemd leaves all of /run out of that; a unit's own
  # RuntimeDirectory= stays writable.
  ReadOnlyPaths = [ "/run" ];
  ProtectHome = true;
  PrivateTmp = true;
  PrivateMounts = true;
  PrivateDevices = true;
  DevicePolicy = "closed";
  ProtectProc = "invisible";
  ProcSubset = "pid";
  UMask = "0077";

  # The machine itself.
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  LockPersonality = true;
  RestrictRealtime = true;

  # No network and no messages but over Unix sockets.
  PrivateNetwork = true;
  IPAddressDeny = "any";
  RestrictAddressFamilies = [ "AF_UNIX" ];
  PrivateIPC = true;
  RemoveIPC = true;

  # No code that is not in the store, no foreign system calls; a forbidden one is refused, not fatal.
  MemoryDenyWriteExecute = true;
  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";
  SystemCallFilter = [
    "@system-service"
    "~@privileged"
    "~@resources"
  ];
}
