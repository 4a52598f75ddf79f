/* The library of an imaginary light meter, as its maker ships it. */
#ifndef LUXMETER_H
#define LUXMETER_H

/* Who it is, with the check value of its CRC-32: "LUX-1 cbf43926". */
const char *lux_identity(void);

/* The illuminance in lux, after calibration; below 0 when the calibration library cannot be opened. */
double lux_read(void);

#endif
