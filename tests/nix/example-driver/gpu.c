/* Uses the graphics card where there is one: its driver's library is on no build machine. */
extern int cuInit(unsigned);
int lux_gpu(void) { return cuInit(0); }
