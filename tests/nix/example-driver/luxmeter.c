/*
 * Its sins are those of many drivers: it uses zlib and is not linked with it, it is linked with an RPATH into
 * /usr/local/lib, and it opens its calibration by an absolute path.
 */
#include "luxmeter.h"

#include <dlfcn.h>
#include <stdio.h>

extern unsigned long crc32(unsigned long, const unsigned char *, unsigned);
extern double lux_bus_counts(void);

const char *lux_identity(void) {
  static char text[32];
  snprintf(text, sizeof text, "LUX-1 %08lx", crc32(0, (const unsigned char *)"123456789", 9));
  return text;
}

double lux_read(void) {
  void *library = dlopen("/usr/local/lib/luxmeter/libluxcalibration.so", RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return -1;
  }
  double (*per_count)(void);
  *(void **)&per_count = dlsym(library, "lux_per_count");
  return per_count() * lux_bus_counts();
}
