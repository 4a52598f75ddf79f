/* luxmeter: print who the meter is and what it reads. */
#include <stdio.h>

#include "luxmeter.h"

int main(void) {
  double lux = lux_read();
  printf("%s: %g lx\n", lux_identity(), lux);
  return lux < 0;
}
