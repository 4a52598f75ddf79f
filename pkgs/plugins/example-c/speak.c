/*
 * speak PLUGIN: load a thermometer plugin, speak to it as a host does, end with 1 at the first thing that is not as
 * nixel_device.h says. It knows the example thermometer's properties and not its language: both examples pass it.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nixel_device.h"

static nixel_error error;
static const nixel_device_v1 *api;
static nixel_device *device;

#define EXPECT(condition)                                                                                        \
  do {                                                                                                           \
    if (!(condition)) {                                                                                          \
      fprintf(stderr, "speak.c:%d: expected %s (last message: %s)\n", __LINE__, #condition, error.message);      \
      exit(1);                                                                                                   \
    }                                                                                                            \
  } while (0)

static nixel_value number(double value) { return (nixel_value){.tag = NIXEL_FLOAT64, .as.float64 = value}; }
static nixel_value integer(int64_t value) { return (nixel_value){.tag = NIXEL_INT64, .as.int64 = value}; }
static nixel_value boolean(uint8_t value) { return (nixel_value){.tag = NIXEL_BOOL, .as.boolean = value}; }
static nixel_value span(nixel_tag tag, const void *data, uint64_t size) {
  return (nixel_value){.tag = tag, .as.bytes = {data, size}};
}

/* A failure's status comes back and stands in the error, with words. */
static nixel_status set(const char *name, nixel_value value) {
  memset(&error, 0, sizeof error);
  nixel_status status = api->set(device, name, &value, &error);
  EXPECT(status == error.status);
  EXPECT(status == NIXEL_OK || error.message[0] != '\0');
  EXPECT(memchr(error.message, 0, sizeof error.message) != NULL);
  return status;
}

static nixel_value get(const char *name, nixel_tag tag) {
  nixel_value value = {.tag = 0};
  memset(&error, 0, sizeof error);
  EXPECT(api->get(device, name, &value, &error) == NIXEL_OK);
  EXPECT(value.tag == tag);
  return value;
}

static void round_trips(void) {
  EXPECT(set("offset", number(-1.5)) == NIXEL_OK);
  EXPECT(get("offset", NIXEL_FLOAT64).as.float64 == -1.5);
  EXPECT(set("averaging", integer(16)) == NIXEL_OK);
  EXPECT(get("averaging", NIXEL_INT64).as.int64 == 16);
  EXPECT(set("enabled", boolean(0)) == NIXEL_OK);
  EXPECT(get("enabled", NIXEL_BOOL).as.boolean == 0);

  static const char label[] = "K\xc3\xb6rperw\xc3\xa4rme, 2 \xc2\xb5m";
  EXPECT(set("label", span(NIXEL_STRING, label, sizeof label - 1)) == NIXEL_OK);
  nixel_value value = get("label", NIXEL_STRING);
  EXPECT(value.as.string.size == sizeof label - 1 && memcmp(value.as.string.data, label, sizeof label - 1) == 0);
  EXPECT(set("label", span(NIXEL_STRING, NULL, 0)) == NIXEL_OK);
  EXPECT(get("label", NIXEL_STRING).as.string.size == 0);

  static const uint8_t record[] = {0, 255, 0, 10, 13};
  EXPECT(set("calibration", span(NIXEL_BYTES, record, sizeof record)) == NIXEL_OK);
  value = get("calibration", NIXEL_BYTES);
  EXPECT(value.as.bytes.size == sizeof record && memcmp(value.as.bytes.data, record, sizeof record) == 0);
}

static void refusals(void) {
  nixel_value value;
  memset(&error, 0, sizeof error);
  EXPECT(api->get(device, "temperature", &value, &error) == NIXEL_DEVICE_FAILED); /* its converter is off */
  EXPECT(strstr(error.message, "enabled") != NULL);
  EXPECT(api->get(device, "pressure", &value, &error) == NIXEL_NO_SUCH_PROPERTY);
  EXPECT(set("pressure", number(1)) == NIXEL_NO_SUCH_PROPERTY);
  EXPECT(set("temperature", number(1)) == NIXEL_READ_ONLY);
  EXPECT(set("averaging", number(1)) == NIXEL_WRONG_TYPE);
  EXPECT(strstr(error.message, "int64") != NULL && strstr(error.message, "float64") != NULL);
  EXPECT(set("averaging", integer(0)) == NIXEL_OUT_OF_RANGE);
  EXPECT(set("offset", number(NAN)) == NIXEL_OUT_OF_RANGE);
  EXPECT(set("enabled", boolean(2)) == NIXEL_OUT_OF_RANGE);
  EXPECT(set("label", span(NIXEL_STRING, "\xc3", 1)) == NIXEL_WRONG_TYPE);
  EXPECT(set("label", span(NIXEL_STRING, "\xed\xa0\x80", 3)) == NIXEL_WRONG_TYPE);
  EXPECT(set("calibration", span(NIXEL_BYTES, error.message, 33)) == NIXEL_OUT_OF_RANGE);
  /* What was refused has changed nothing. */
  EXPECT(get("averaging", NIXEL_INT64).as.int64 == 16);
  EXPECT(get("offset", NIXEL_FLOAT64).as.float64 == -1.5);
}

static void properties(void) {
  nixel_property property;
  uint64_t count = api->property_count(device);
  EXPECT(count == 7);
  for (uint64_t k = 0; k < count; k++) {
    EXPECT(api->property(device, k, &property, &error) == NIXEL_OK);
    EXPECT(property.name[0] != '\0' && property.description[0] != '\0' && property.unit != NULL);
    EXPECT(property.tag >= NIXEL_INT64 && property.tag <= NIXEL_BYTES);
  }
  EXPECT(api->property(device, count, &property, &error) == NIXEL_OUT_OF_RANGE);
}

static void opening(void) {
  nixel_setting simulated = {"simulated", boolean(1)};
  nixel_setting wrong = {"simulated", integer(1)};
  nixel_setting unknown = {"port", integer(1)};
  EXPECT(api->open(NULL, 0, &device, &error) == NIXEL_DEVICE_FAILED && device == NULL);
  EXPECT(api->open(&wrong, 1, &device, &error) == NIXEL_WRONG_TYPE && device == NULL);
  EXPECT(api->open(&unknown, 1, &device, &error) == NIXEL_NO_SUCH_PROPERTY && device == NULL);
  EXPECT(api->open(&simulated, 1, &device, &error) == NIXEL_OK && device != NULL);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: speak PLUGIN\n");
    return 2;
  }
  void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  nixel_device_plugin_function *plugin;
  *(void **)&plugin = dlsym(library, "nixel_device_plugin");
  EXPECT(plugin != NULL);
  const void *table = &table;
  EXPECT(plugin(NIXEL_DEVICE_ABI + 1, &table) >= NIXEL_DEVICE_ABI && table == NULL);
  EXPECT(plugin(NIXEL_DEVICE_ABI, &table) >= NIXEL_DEVICE_ABI && table != NULL);
  api = table;

  EXPECT(api->name()[0] != '\0');
  api->free(NULL);
  opening();
  properties();
  EXPECT(get("simulated", NIXEL_BOOL).as.boolean == 1);
  double reading = get("temperature", NIXEL_FLOAT64).as.float64;
  EXPECT(reading > 290 && reading < 300);
  round_trips();
  refusals();
  api->free(device);
  printf("%s: as nixel_device.h says\n", api->name());
  return dlclose(library);
}
