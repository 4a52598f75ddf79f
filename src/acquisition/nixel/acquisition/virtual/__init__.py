"""Virtual instruments: processes of their own that speak the real wires."""
