/*
 * An example of a vendor plugin: a thermometer, in C, without dependencies.
 *
 * There is no such thermometer. What it reads is made up, which has to be asked for (setting `simulated`) and which it
 * says of itself (property `simulated`); a real plugin opens its bus in thermometer_open instead. Everything else is
 * as it would be.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nixel_device.h"

enum { LABEL_SIZE = 64, CALIBRATION_SIZE = 32 };
static const double ROOM = 295.15; /* K */

struct nixel_device {
  int64_t averaging;
  double offset;
  uint8_t enabled;
  uint64_t label_size;
  uint8_t label[LABEL_SIZE];
  uint64_t calibration_size;
  uint8_t calibration[CALIBRATION_SIZE];
  uint64_t readings;
};

enum { TEMPERATURE, OFFSET, AVERAGING, ENABLED, LABEL, CALIBRATION, SIMULATED, PROPERTIES };

static const nixel_property properties[PROPERTIES] = {
    [TEMPERATURE] = {"temperature", "K", "The temperature at the probe, read now.", NIXEL_FLOAT64,
                     NIXEL_PROPERTY_READ_ONLY, 0, 0},
    [OFFSET] = {"offset", "K", "Added to every reading.", NIXEL_FLOAT64, NIXEL_PROPERTY_LIMITED, -5, 5},
    [AVERAGING] = {"averaging", "", "How many conversions make one reading.", NIXEL_INT64, NIXEL_PROPERTY_LIMITED, 1,
                   1024},
    [ENABLED] = {"enabled", "", "Whether the converter runs; without it there is no reading.", NIXEL_BOOL, 0, 0, 0},
    [LABEL] = {"label", "", "Where the probe is, in a person's words.", NIXEL_STRING, 0, 0, 0},
    [CALIBRATION] = {"calibration", "", "The maker's calibration record, kept as it is.", NIXEL_BYTES, 0, 0, 0},
    [SIMULATED] = {"simulated", "", "True: no such thermometer exists.", NIXEL_BOOL, NIXEL_PROPERTY_READ_ONLY, 0, 0},
};

static const char *tag_name(nixel_tag tag) {
  static const char *const names[] = {"int64", "float64", "bool", "string", "bytes"};
  return tag >= NIXEL_INT64 && tag <= NIXEL_BYTES ? names[tag - NIXEL_INT64] : "unknown";
}

__attribute__((format(printf, 3, 4))) static nixel_status fail(nixel_error *error, nixel_status status,
                                                               const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  memset(error, 0, sizeof *error);
  error->status = status;
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return status;
}

/* Whether the bytes are UTF-8 as RFC 3629 has it: shortest form, no surrogates, nothing above U+10FFFF. */
static int is_utf8(nixel_span text) {
  uint64_t at = 0;
  while (at < text.size) {
    uint8_t first = text.data[at];
    uint64_t more = first < 0x80 ? 0 : first < 0xc2 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 4;
    if (more == 4 || at + more >= text.size) return 0;
    for (uint64_t k = 1; k <= more; k++)
      if ((text.data[at + k] & 0xc0) != 0x80) return 0;
    if (more > 1) {
      uint8_t second = text.data[at + 1];
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
          (first == 0xf4 && second > 0x8f))
        return 0;
    }
    at += more + 1;
  }
  return 1;
}

static nixel_status find(const char *name, int *index, nixel_error *error) {
  for (*index = 0; *index < PROPERTIES; ++*index)
    if (strcmp(properties[*index].name, name) == 0) return NIXEL_OK;
  return fail(error, NIXEL_NO_SUCH_PROPERTY, "The example thermometer has no property \"%.100s\".", name);
}

static const char *thermometer_name(void) { return "Example thermometer (C)"; }

static nixel_status thermometer_open(const nixel_setting *settings, uint64_t count, nixel_device **device,
                                     nixel_error *error) {
  uint8_t simulated = 0;
  *device = NULL;
  for (uint64_t k = 0; k < count; k++) {
    if (strcmp(settings[k].name, "simulated") != 0)
      return fail(error, NIXEL_NO_SUCH_PROPERTY,
                  "The example thermometer has no setting \"%.100s\"; it takes \"simulated\".", settings[k].name);
    if (settings[k].value.tag != NIXEL_BOOL)
      return fail(error, NIXEL_WRONG_TYPE, "Setting \"simulated\": expected bool, found %s.",
                  tag_name(settings[k].value.tag));
    simulated = settings[k].value.as.boolean;
  }
  if (!simulated)
    return fail(error, NIXEL_DEVICE_FAILED,
                "No thermometer found: this example knows a simulated one only. Open it with simulated = true.");
  nixel_device *opened = calloc(1, sizeof *opened);
  if (opened == NULL) return fail(error, NIXEL_OUT_OF_MEMORY, "No memory for a thermometer.");
  opened->averaging = 1;
  opened->enabled = 1;
  *device = opened;
  return NIXEL_OK;
}

static void thermometer_free(nixel_device *device) { free(device); }

static uint64_t thermometer_property_count(nixel_device *device) {
  (void)device;
  return PROPERTIES;
}

static nixel_status thermometer_property(nixel_device *device, uint64_t index, nixel_property *property,
                                         nixel_error *error) {
  (void)device;
  if (index >= PROPERTIES)
    return fail(error, NIXEL_OUT_OF_RANGE, "There are %d properties, counted from 0; number %" PRIu64 " was asked for.",
                PROPERTIES, index);
  *property = properties[index];
  return NIXEL_OK;
}

static nixel_status thermometer_get(nixel_device *device, const char *name, nixel_value *value, nixel_error *error) {
  int index;
  nixel_status status = find(name, &index, error);
  if (status != NIXEL_OK) return status;
  nixel_value read = {.tag = properties[index].tag};
  switch (index) {
    case TEMPERATURE:
      if (!device->enabled)
        return fail(error, NIXEL_DEVICE_FAILED, "The converter is off: set \"enabled\" to true before reading.");
      /* A quarter of a kelvin up and down, a little further with every reading. */
      read.as.float64 = ROOM + device->offset + 0.25 * ((double)(device->readings++ % 5) / 2 - 1);
      break;
    case OFFSET:
      read.as.float64 = device->offset;
      break;
    case AVERAGING:
      read.as.int64 = device->averaging;
      break;
    case ENABLED:
      read.as.boolean = device->enabled;
      break;
    case LABEL:
      read.as.string = (nixel_span){device->label, device->label_size};
      break;
    case CALIBRATION:
      read.as.bytes = (nixel_span){device->calibration, device->calibration_size};
      break;
    default:
      read.as.boolean = 1;
  }
  *value = read;
  return NIXEL_OK;
}

/* What a value has to be before the device sees it. */
static nixel_status check(const nixel_property *property, const nixel_value *value, nixel_error *error) {
  if (property->flags & NIXEL_PROPERTY_READ_ONLY)
    return fail(error, NIXEL_READ_ONLY, "Property \"%s\" can be read only.", property->name);
  if (value->tag != property->tag)
    return fail(error, NIXEL_WRONG_TYPE, "Property \"%s\": expected %s, found %s.", property->name,
                tag_name(property->tag), tag_name(value->tag));
  if (property->flags & NIXEL_PROPERTY_LIMITED) {
    double number = value->tag == NIXEL_INT64 ? (double)value->as.int64 : value->as.float64;
    /* Not the other way round: a NaN is in no range. */
    if (!(number >= property->minimum && number <= property->maximum))
      return fail(error, NIXEL_OUT_OF_RANGE, "Property \"%s\": expected %g to %g%s%s, found %g.", property->name,
                  property->minimum, property->maximum, *property->unit ? " " : "", property->unit, number);
  }
  if (value->tag == NIXEL_BOOL && value->as.boolean > 1)
    return fail(error, NIXEL_OUT_OF_RANGE, "Property \"%s\": a bool is 0 or 1, found %d.", property->name,
                value->as.boolean);
  if (value->tag == NIXEL_STRING && !is_utf8(value->as.string))
    return fail(error, NIXEL_WRONG_TYPE, "Property \"%s\": the string is not UTF-8.", property->name);
  return NIXEL_OK;
}

static nixel_status store(const nixel_property *property, nixel_span from, uint8_t *to, uint64_t room, uint64_t *size,
                          nixel_error *error) {
  if (from.size > room)
    return fail(error, NIXEL_OUT_OF_RANGE, "Property \"%s\" has room for %" PRIu64 " bytes, found %" PRIu64 ".",
                property->name, room, from.size);
  if (from.size > 0) memcpy(to, from.data, from.size);
  *size = from.size;
  return NIXEL_OK;
}

static nixel_status thermometer_set(nixel_device *device, const char *name, const nixel_value *value,
                                    nixel_error *error) {
  int index;
  nixel_status status = find(name, &index, error);
  if (status == NIXEL_OK) status = check(&properties[index], value, error);
  if (status != NIXEL_OK) return status;
  switch (index) {
    case OFFSET:
      device->offset = value->as.float64;
      break;
    case AVERAGING:
      device->averaging = value->as.int64;
      break;
    case ENABLED:
      device->enabled = value->as.boolean;
      break;
    case LABEL:
      return store(&properties[index], value->as.string, device->label, LABEL_SIZE, &device->label_size, error);
    default:
      return store(&properties[index], value->as.bytes, device->calibration, CALIBRATION_SIZE,
                   &device->calibration_size, error);
  }
  return NIXEL_OK;
}

static const nixel_device_v1 version_1 = {
    .name = thermometer_name,
    .open = thermometer_open,
    .free = thermometer_free,
    .property_count = thermometer_property_count,
    .property = thermometer_property,
    .get = thermometer_get,
    .set = thermometer_set,
};

uint32_t nixel_device_plugin(uint32_t wanted, const void **table) {
  *table = wanted == 1 ? &version_1 : NULL;
  return NIXEL_DEVICE_ABI;
}
