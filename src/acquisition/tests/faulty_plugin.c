/*
 * A plugin that does as nixel_device.h says, or has the one fault that -DFAULT=NAME gives it.
 *
 * Its settings: `simulated`, and `log`, a file into which it writes a letter for each open (o) and free (f).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nixel_device.h"

enum {
  NONE, OLD_VERSION, NEWER_VERSION, NEWER_SERVES_OLD, NO_TABLE, SERVES_ALL, NULL_ENTRY, CRASH_LOAD, CRASH_NAME,
  CRASH_OPEN, CRASH_GET, CRASH_FREE, EXIT_IN_GET, HANG_OPEN, HANG_GET, HANG_FREE, MESSAGE_WITHOUT_NUL, MESSAGE_EMPTY,
  MESSAGE_NOT_UTF8, STATUS_DISAGREES, UNKNOWN_STATUS, VALUE_NOT_UTF8, VALUE_WRONG_TAG, VALUE_BOOL_TWO, VALUE_HUGE,
  VALUE_NULL, OPEN_GIVES_NULL, FAILED_OPEN_GIVES_DEVICE, LEAKS_IN_GET, LEAKS_IN_FAILURE, NEVER_FREES, FREES_TWICE,
  NAME_TWICE, NAME_WRONG, TEXT_NULL, TEXT_NOT_UTF8, LIMITS_WRONG, TAG_UNKNOWN, COUNT_HUGE, COUNT_CHANGES,
  TAKES_ANY_TYPE, TAKES_ANY_NUMBER, TAKES_BROKEN_TEXT, TAKES_READ_ONLY, TAKES_ANY_SETTING, CHANGED_BY_FAILURE,
  SHARED_STATE, FORGETS, PRINTS, WRITES_AFTER_FREE, WRITES_BEYOND, ANY_INDEX, UNKNOWN_IS_FAILED
};
#ifndef FAULT
#define FAULT NONE
#endif

struct nixel_device {
  double number;
  int64_t count;
  uint8_t on;
  nixel_span text, data;
  char *log;
  uint64_t asked;
};

static const nixel_property properties[] = {
    {"number", "V", "A number.", NIXEL_FLOAT64, NIXEL_PROPERTY_LIMITED, FAULT == LIMITS_WRONG ? 20 : -10, 10},
    {FAULT == NAME_TWICE ? "number" : FAULT == NAME_WRONG ? "Count 1" : "count", FAULT == TEXT_NULL ? NULL : "",
     FAULT == TEXT_NOT_UTF8 ? "\xff" : "An integer.", FAULT == TAG_UNKNOWN ? 9 : NIXEL_INT64, NIXEL_PROPERTY_LIMITED,
     0, 1000},
    {"on", "", "A switch.", NIXEL_BOOL, 0, 0, 0},
    {"text", "", "A text of any length.", NIXEL_STRING, 0, 0, 0},
    {"data", "", "Bytes of any length.", NIXEL_BYTES, 0, 0, 0},
    {"serial", "", "The serial number.", NIXEL_STRING, NIXEL_PROPERTY_READ_ONLY, 0, 0},
    {"simulated", "", "True: there is no such device.", NIXEL_BOOL, NIXEL_PROPERTY_READ_ONLY, 0, 0},
};
enum { COUNT = sizeof properties / sizeof *properties, SIMULATED = COUNT - 1 };

static void crash(int fault) {
  if (FAULT == fault) raise(SIGSEGV);
}

static void hang(int fault) {
  while (FAULT == fault) sleep(1);
}

static void note(nixel_device *device, const char *letter) {
  FILE *file = device->log ? fopen(device->log, "a") : NULL;
  if (file == NULL) return;
  fputs(letter, file);
  fclose(file);
}

static nixel_status fail(nixel_error *error, nixel_status status, const char *message) {
  if (FAULT == UNKNOWN_STATUS) status = 77;
  error->status = FAULT == STATUS_DISAGREES ? 0 : status;
  error->reserved = 0;
  snprintf(error->message, sizeof error->message, "%s", FAULT == MESSAGE_EMPTY ? "" : message);
  if (FAULT == MESSAGE_WITHOUT_NUL) memset(error->message, 'x', sizeof error->message);
  if (FAULT == MESSAGE_NOT_UTF8) memcpy(error->message, "\xff\xfe oh", 6);
  if (FAULT == LEAKS_IN_FAILURE && malloc(100) == NULL) abort();
  return status;
}

__attribute__((constructor)) static void load(void) { crash(CRASH_LOAD); }

static const char *name(void) {
  crash(CRASH_NAME);
  return "Device of the tests";
}

static char *copy(nixel_span from) {
  char *to = malloc(from.size + 1);
  if (to == NULL) abort();
  if (from.size) memcpy(to, from.data, from.size);
  to[from.size] = 0;
  return to;
}

static nixel_status open_device(const nixel_setting *settings, uint64_t count, nixel_device **device,
                                nixel_error *error) {
  static struct nixel_device nobody;
  nixel_span log = {NULL, 0};
  *device = FAULT == FAILED_OPEN_GIVES_DEVICE ? &nobody : NULL;
  crash(CRASH_OPEN);
  hang(HANG_OPEN);
  for (uint64_t k = 0; k < count; k++) {
    if (strcmp(settings[k].name, "log") == 0 && settings[k].value.tag == NIXEL_STRING)
      log = settings[k].value.as.string;
    else if (strcmp(settings[k].name, "simulated") == 0) {
      if (settings[k].value.tag != NIXEL_BOOL && FAULT != TAKES_ANY_SETTING)
        return fail(error, NIXEL_WRONG_TYPE, "Setting \"simulated\": expected bool.");
    } else if (FAULT != TAKES_ANY_SETTING)
      return fail(error, NIXEL_NO_SUCH_PROPERTY, "There is no such setting.");
  }
  if (FAULT == OPEN_GIVES_NULL) return NIXEL_OK;
  nixel_device *opened = calloc(1, sizeof *opened);
  if (opened == NULL) return fail(error, NIXEL_OUT_OF_MEMORY, "No memory.");
  if (log.size) opened->log = copy(log);
  note(opened, "o");
  *device = opened;
  return NIXEL_OK;
}

static void free_device(nixel_device *device) {
  if (device == NULL) return;
  note(device, "f");
  crash(CRASH_FREE);
  hang(HANG_FREE);
  if (FAULT == NEVER_FREES) return;
  free((void *)device->text.data);
  free((void *)device->data.data);
  free(device->log);
  device->log = NULL;
  free(device);
  if (FAULT == FREES_TWICE) free(device);
  if (FAULT == WRITES_AFTER_FREE) ((volatile struct nixel_device *)device)->count = 1;
}

static uint64_t property_count(nixel_device *device) {
  if (FAULT == COUNT_HUGE) return UINT64_MAX;
  return FAULT == COUNT_CHANGES && device->asked++ % 2 ? COUNT - 1 : COUNT;
}

static nixel_status property(nixel_device *device, uint64_t index, nixel_property *to, nixel_error *error) {
  (void)device;
  if (index >= COUNT && FAULT == ANY_INDEX) index = 0;
  if (index >= COUNT) return fail(error, NIXEL_OUT_OF_RANGE, "There are no more properties.");
  *to = properties[index];
  return NIXEL_OK;
}

static int find(const char *wanted) {
  int index = 0;
  while (index < COUNT && strcmp(properties[index].name, wanted) != 0) index++;
  return index;
}

static nixel_device shared;

static nixel_status get(nixel_device *device, const char *wanted, nixel_value *value, nixel_error *error) {
  nixel_device *of = FAULT == SHARED_STATE ? &shared : device;
  int index = find(wanted);
  if (index != SIMULATED) {
    crash(CRASH_GET);
    hang(HANG_GET);
    if (FAULT == EXIT_IN_GET) exit(0);
  }
  if (FAULT == PRINTS) printf("reading %s\n", wanted), fflush(stdout);
  if (FAULT == LEAKS_IN_GET && malloc(100) == NULL) abort();
  if (index == COUNT)
    return fail(error, FAULT == UNKNOWN_IS_FAILED ? NIXEL_DEVICE_FAILED : NIXEL_NO_SUCH_PROPERTY, "No such property.");
  nixel_value read = {.tag = properties[index].tag};
  switch (index) {
    case 0: read.as.float64 = FAULT == FORGETS ? 0 : of->number; break;
    case 1: read.as.int64 = of->count; break;
    case 2: read.as.boolean = FAULT == VALUE_BOOL_TWO ? 2 : of->on; break;
    case 3: read.as.string = of->text; break;
    case 4: read.as.bytes = of->data; break;
    case 5: read.as.string = (nixel_span){(const uint8_t *)"A1", 2}; break;
    default: read.as.boolean = 1;
  }
  if (index == 3 && FAULT == VALUE_NOT_UTF8) read.as.string = (nixel_span){(const uint8_t *)"ok\xff", 3};
  if (index == 3 && FAULT == VALUE_HUGE) read.as.string.size = UINT64_MAX / 2;
  if (index == 3 && FAULT == VALUE_NULL) read.as.string = (nixel_span){NULL, 5};
  if (FAULT == VALUE_WRONG_TAG && index != SIMULATED) read.tag = read.tag == NIXEL_INT64 ? NIXEL_FLOAT64 : NIXEL_INT64;
  *value = read;
  return NIXEL_OK;
}

/* Only what the tests send: a lone 0xff, or bytes that are cut off. */
static int is_utf8(nixel_span text) {
  for (uint64_t k = 0; k < text.size;) {
    uint8_t first = text.data[k];
    uint64_t more = first < 0x80 ? 0 : first < 0xc2 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 9;
    if (more == 9 || k + more >= text.size) return 0;
    for (uint64_t j = 1; j <= more; j++)
      if ((text.data[k + j] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && text.data[k + 1] < 0xa0) || (first == 0xed && text.data[k + 1] > 0x9f) ||
        (first == 0xf0 && text.data[k + 1] < 0x90) || (first == 0xf4 && text.data[k + 1] > 0x8f))
      return 0;
    k += more + 1;
  }
  return 1;
}

static void store(nixel_span *to, nixel_span from) {
  free((void *)to->data);
  *to = (nixel_span){(const uint8_t *)copy(from), from.size};
  if (FAULT == WRITES_BEYOND) ((char *)to->data)[from.size + 1] = 'x';
}

static nixel_status set(nixel_device *device, const char *wanted, const nixel_value *value, nixel_error *error) {
  nixel_device *of = FAULT == SHARED_STATE ? &shared : device;
  int index = find(wanted);
  if (index == COUNT)
    return fail(error, FAULT == UNKNOWN_IS_FAILED ? NIXEL_DEVICE_FAILED : NIXEL_NO_SUCH_PROPERTY, "No such property.");
  const nixel_property *known = &properties[index];
  if (known->flags & NIXEL_PROPERTY_READ_ONLY)
    return FAULT == TAKES_READ_ONLY ? NIXEL_OK : fail(error, NIXEL_READ_ONLY, "It can be read only.");
  if (FAULT == CHANGED_BY_FAILURE && index == 0) of->number = 3;
  if (value->tag != known->tag) {
    if (FAULT == TAKES_ANY_TYPE) return NIXEL_OK;
    return fail(error, NIXEL_WRONG_TYPE, "It is of another type.");
  }
  if (known->flags & NIXEL_PROPERTY_LIMITED && FAULT != TAKES_ANY_NUMBER) {
    double number = value->tag == NIXEL_INT64 ? (double)value->as.int64 : value->as.float64;
    if (!(number >= known->minimum && number <= known->maximum))
      return fail(error, NIXEL_OUT_OF_RANGE, "It is out of range.");
  }
  switch (index) {
    case 0: of->number = value->as.float64; break;
    case 1: of->count = value->as.int64; break;
    case 2:
      if (value->as.boolean > 1 && FAULT != TAKES_ANY_NUMBER)
        return fail(error, NIXEL_OUT_OF_RANGE, "A bool is 0 or 1.");
      of->on = value->as.boolean;
      break;
    case 3:
      if (!is_utf8(value->as.string) && FAULT != TAKES_BROKEN_TEXT)
        return fail(error, NIXEL_WRONG_TYPE, "It is not UTF-8.");
      store(&of->text, value->as.string);
      break;
    default: store(&of->data, value->as.bytes);
  }
  return NIXEL_OK;
}

static const nixel_device_v1 version_1 = {name, open_device, free_device, property_count, property, get,
                                          FAULT == NULL_ENTRY ? NULL : set};

uint32_t nixel_device_plugin(uint32_t wanted, const void **table) {
  static const void *const nothing[20];
  const uint32_t newer = FAULT == NEWER_VERSION || FAULT == NEWER_SERVES_OLD;
  *table = wanted == 1 ? &version_1 : FAULT == SERVES_ALL || newer * wanted == 2 ? (const void *)nothing : NULL;
  if (FAULT == OLD_VERSION || FAULT == NO_TABLE || (FAULT == NEWER_VERSION && wanted == 1)) *table = NULL;
  return FAULT == OLD_VERSION ? 0 : newer ? 2 : 1;
}
