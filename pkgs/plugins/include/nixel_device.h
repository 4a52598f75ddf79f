/*
 * nixel_device.h: what a vendor's device library offers to nixel, version 1.
 *
 * A plugin is one shared library with one exported function, nixel_device_plugin. It answers which version of this
 * interface the plugin speaks and hands out the table of functions of the version asked for. Version tables never
 * change; what is added comes with a new version, and a plugin may keep serving the older ones.
 *
 * The rules, for every version:
 *
 *   Ownership   open() gives the caller a device; it belongs to that one holder, who gives it back through free()
 *               exactly once, whatever happened in between. What open() did not hand out must not be freed, and
 *               nothing may be called with a device after free().
 *   Threads     the holder serialises all calls on one device, from whichever thread they come. Two devices may be
 *               used at the same time, so a plugin keeps no state outside of its devices.
 *   Memory      what the plugin returns (names, strings, bytes) stays the plugin's, valid until the next call on the
 *               same device; the holder copies what it keeps. What the holder passes in is valid during the call only.
 *   Errors      a call returns a nixel_status and, unless that is NIXEL_OK, fills the nixel_error with one paragraph
 *               for a person: what was expected, what was found, what to do. A call that fails has changed nothing.
 *   Time        every call returns within a few seconds; a device that does not answer is NIXEL_TIMEOUT.
 *   Language    C, or C++ and Rust behind this C interface: no exception, panic or longjmp crosses it.
 *
 * Layout is that of the platform's C ABI on 64-bit little-endian Linux (x86_64, aarch64) and is asserted below.
 */
#ifndef NIXEL_DEVICE_H
#define NIXEL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NIXEL_DEVICE_ABI 1u

#if defined(__GNUC__)
#define NIXEL_EXPORT __attribute__((visibility("default")))
#else
#define NIXEL_EXPORT
#endif

/* A device, known to its plugin only. */
typedef struct nixel_device nixel_device;

/* What a call returns. A holder treats a number that it does not know as NIXEL_DEVICE_FAILED. */
typedef int32_t nixel_status;
enum {
  NIXEL_OK = 0,
  NIXEL_NO_SUCH_PROPERTY = 1, /* the device has no property, or open() no setting, of that name */
  NIXEL_WRONG_TYPE = 2,       /* the value's tag is not the property's, or a string is not UTF-8 */
  NIXEL_OUT_OF_RANGE = 3,     /* right type, impossible value */
  NIXEL_READ_ONLY = 4,        /* the property can be read only */
  NIXEL_DEVICE_FAILED = 5,    /* the device said no, or is not there */
  NIXEL_TIMEOUT = 6,          /* the device said nothing in time */
  NIXEL_OUT_OF_MEMORY = 7
};

/* The caller's; the plugin fills it. The message is UTF-8 and ends with a NUL within the array. */
#define NIXEL_MESSAGE_SIZE 504
typedef struct nixel_error {
  nixel_status status;
  uint32_t reserved; /* 0 */
  char message[NIXEL_MESSAGE_SIZE];
} nixel_error;

/* The type of a value. */
typedef uint32_t nixel_tag;
enum { NIXEL_INT64 = 1, NIXEL_FLOAT64 = 2, NIXEL_BOOL = 3, NIXEL_STRING = 4, NIXEL_BYTES = 5 };

/* Bytes with their number. As a string: UTF-8 without a closing NUL. `data` may be NULL when `size` is 0. */
typedef struct nixel_span {
  const uint8_t *data;
  uint64_t size;
} nixel_span;

typedef struct nixel_value {
  nixel_tag tag;
  uint32_t reserved; /* 0 */
  union {
    int64_t int64;
    double float64;
    uint8_t boolean; /* 0 or 1 */
    nixel_span string;
    nixel_span bytes;
  } as;
} nixel_value;

/* A name with its value, for open(). The name ends with a NUL. */
typedef struct nixel_setting {
  const char *name;
  nixel_value value;
} nixel_setting;

/* What a property is. The texts are UTF-8 and end with a NUL. */
#define NIXEL_PROPERTY_READ_ONLY 1u /* flag: can be read only */
#define NIXEL_PROPERTY_LIMITED 2u   /* flag: minimum and maximum hold (numbers only) */
typedef struct nixel_property {
  const char *name;        /* lower-case ASCII letters, digits and underscores */
  const char *unit;        /* SI, as "K" or "m/s"; empty for what has none */
  const char *description; /* one sentence for a person */
  nixel_tag tag;
  uint32_t flags;
  double minimum;
  double maximum;
} nixel_property;

/* The table of version 1. Every function is there; `error` is never NULL. */
typedef struct nixel_device_v1 {
  /* The name of the device type, for a person. Can be asked without a device. */
  const char *(*name)(void);

  /* Open a device. On NIXEL_OK, *device is the caller's to free; otherwise it is NULL. */
  nixel_status (*open)(const nixel_setting *settings, uint64_t count, nixel_device **device, nixel_error *error);

  /* Give the device back: bring it to rest, close it, release everything. Cannot fail; NULL does nothing. */
  void (*free)(nixel_device *device);

  /* How many properties it has: the same number, in the same order, as long as the device is open. */
  uint64_t (*property_count)(nixel_device *device);

  /* Describe the property at `index`, counted from 0; NIXEL_OUT_OF_RANGE beyond the last. */
  nixel_status (*property)(nixel_device *device, uint64_t index, nixel_property *property, nixel_error *error);

  /* Read from the device itself; a remembered value is no reading. */
  nixel_status (*get)(nixel_device *device, const char *name, nixel_value *value, nixel_error *error);

  /* Write to the device; NIXEL_OK says that the device has taken it. */
  nixel_status (*set)(nixel_device *device, const char *name, const nixel_value *value, nixel_error *error);
} nixel_device_v1;

/*
 * The one exported function. Returns the newest version that the plugin speaks, and sets *table to the functions of
 * version `wanted` (for 1, a const nixel_device_v1), or to NULL when it does not serve that one. A host asks for the
 * version that it knows best, and then for older ones down to the newest that both know.
 */
typedef uint32_t nixel_device_plugin_function(uint32_t wanted, const void **table);
NIXEL_EXPORT nixel_device_plugin_function nixel_device_plugin;

#ifdef __cplusplus
#define NIXEL_STATIC_ASSERT static_assert
#else
#define NIXEL_STATIC_ASSERT _Static_assert
#endif
NIXEL_STATIC_ASSERT(sizeof(nixel_error) == 512, "layout of nixel_error");
NIXEL_STATIC_ASSERT(offsetof(nixel_value, as) == 8 && sizeof(nixel_value) == 24, "layout of nixel_value");
NIXEL_STATIC_ASSERT(offsetof(nixel_setting, value) == 8 && sizeof(nixel_setting) == 32, "layout of nixel_setting");
NIXEL_STATIC_ASSERT(offsetof(nixel_property, tag) == 24 && sizeof(nixel_property) == 48, "layout of nixel_property");
NIXEL_STATIC_ASSERT(sizeof(nixel_device_v1) == 7 * sizeof(void *), "layout of nixel_device_v1");

#ifdef __cplusplus
}
#endif

#endif
