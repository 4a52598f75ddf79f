/* stubborn: reads its settings from /usr/local and from nowhere else. */
#include <stdio.h>

int main(void) {
  FILE *settings = fopen("/usr/local/share/luxmeter/luxmeter.conf", "r");
  char line[80];
  if (settings == NULL || fgets(line, sizeof line, settings) == NULL) {
    perror("/usr/local/share/luxmeter/luxmeter.conf");
    return 1;
  }
  fputs(line, stdout);
  return fclose(settings);
}
