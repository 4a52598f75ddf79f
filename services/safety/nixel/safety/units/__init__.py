"""The units of input and output: the surveillance unit, the GPIO chip, the processor's thermometer."""
