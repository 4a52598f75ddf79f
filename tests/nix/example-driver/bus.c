/* The meter's bus; there is none. */
double lux_bus_counts(void) { return 1000; }
