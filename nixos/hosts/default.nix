# The machines, as data.
_: { }
