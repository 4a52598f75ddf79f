"""The command line: `nixel-safety`."""
