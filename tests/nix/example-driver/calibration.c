/* What a count is worth. */
double lux_per_count(void) { return 0.25; }
