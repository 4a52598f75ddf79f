# Full system images, by the system that they are for.
_: { }
