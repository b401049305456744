/* Mesa's Vulkan driver on the CPU in the place of the one that Chromium brings along (see
 * lavapipe.rs). Chromium loads this library under that one's name and asks it for functions. All come
 * from the driver that DRIFT_LAVAPIPE names, but for these:
 *
 * - Dawn wants every device to have shaderSampledImageArrayDynamicIndexing and
 *   shaderStorageImageArrayDynamicIndexing. Mesa 22.3 has them not, and kernels never index arrays of
 *   images: they are said to be there, and left out when the device is made.
 * - Chromium offers software adapters to pages only if they are Google's.
 *
 * Structures and numbers are those of the Vulkan 1.3 specification; its headers need not be installed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

typedef void (*Function)(void);
typedef Function (*Find)(void *instance, const char *name);

/* Head of every structure that can be chained. */
struct Chained {
  uint32_t type;
  struct Chained *next;
};

/* VkDeviceCreateInfo */
struct DeviceCreateInfo {
  struct Chained head;
  uint32_t flags, queue_count;
  const void *queues;
  uint32_t layer_count;
  const char *const *layers;
  uint32_t extension_count;
  const char *const *extensions;
  uint32_t *features;
};

enum {
  PHYSICAL_DEVICE_FEATURES_2 = 1000059000,
  /* places in VkPhysicalDeviceFeatures */
  SAMPLED_IMAGE_ARRAY_DYNAMIC_INDEXING = 34,
  STORAGE_IMAGE_ARRAY_DYNAMIC_INDEXING = 36,
  /* places in VkPhysicalDeviceProperties */
  VENDOR_ID = 2,
  DEVICE_ID = 3,
  MOST_FEATURES = 4,
};

static Function features, features_2, properties, properties_2, create_device;

static Find driver(void) {
  static Find find;
  if (find) return find;
  const char *path = getenv("DRIFT_LAVAPIPE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library) {
    fprintf(stderr, "DRIFT_LAVAPIPE: %s\n", path ? dlerror() : "not set");
    abort();
  }
  int32_t (*negotiate)(uint32_t *) =
      (int32_t (*)(uint32_t *))dlsym(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
  uint32_t version = 5;
  if (negotiate) negotiate(&version);
  find = (Find)dlsym(library, "vk_icdGetInstanceProcAddr");
  if (!find) abort();
  return find;
}

static void claim(uint32_t *list) {
  list[SAMPLED_IMAGE_ARRAY_DYNAMIC_INDEXING] = 1;
  list[STORAGE_IMAGE_ARRAY_DYNAMIC_INDEXING] = 1;
}

static void rename_to_swiftshader(uint32_t *list) {
  list[VENDOR_ID] = 0x1AE0;
  list[DEVICE_ID] = 0xC0DE;
}

static void get_features(void *device, uint32_t *out) {
  ((void (*)(void *, uint32_t *))features)(device, out);
  claim(out);
}

static void get_features_2(void *device, struct Chained *out) {
  ((void (*)(void *, struct Chained *))features_2)(device, out);
  claim((uint32_t *)(out + 1));
}

static void get_properties(void *device, uint32_t *out) {
  ((void (*)(void *, uint32_t *))properties)(device, out);
  rename_to_swiftshader(out);
}

static void get_properties_2(void *device, struct Chained *out) {
  ((void (*)(void *, struct Chained *))properties_2)(device, out);
  rename_to_swiftshader((uint32_t *)(out + 1));
}

static int32_t make_device(void *device, struct DeviceCreateInfo *info, const void *memory, void **out) {
  uint32_t *lists[MOST_FEATURES], asked[MOST_FEATURES][2];
  int count = 0;
  if (info->features) lists[count++] = info->features;
  for (struct Chained *s = info->head.next; s && count < MOST_FEATURES; s = s->next)
    if (s->type == PHYSICAL_DEVICE_FEATURES_2) lists[count++] = (uint32_t *)(s + 1);
  for (int i = 0; i < count; i++) {
    asked[i][0] = lists[i][SAMPLED_IMAGE_ARRAY_DYNAMIC_INDEXING];
    asked[i][1] = lists[i][STORAGE_IMAGE_ARRAY_DYNAMIC_INDEXING];
    lists[i][SAMPLED_IMAGE_ARRAY_DYNAMIC_INDEXING] = 0;
    lists[i][STORAGE_IMAGE_ARRAY_DYNAMIC_INDEXING] = 0;
  }
  int32_t result = ((int32_t (*)(void *, struct DeviceCreateInfo *, const void *, void **))create_device)(
      device, info, memory, out);
  for (int i = 0; i < count; i++) {
    lists[i][SAMPLED_IMAGE_ARRAY_DYNAMIC_INDEXING] = asked[i][0];
    lists[i][STORAGE_IMAGE_ARRAY_DYNAMIC_INDEXING] = asked[i][1];
  }
  return result;
}

/* Functions of ours, by their names; the driver's go where ours find them. */
static const struct {
  const char *name;
  Function *theirs;
  Function ours;
} OURS[] = {
    {"vkGetPhysicalDeviceFeatures", &features, (Function)get_features},
    {"vkGetPhysicalDeviceFeatures2", &features_2, (Function)get_features_2},
    {"vkGetPhysicalDeviceFeatures2KHR", &features_2, (Function)get_features_2},
    {"vkGetPhysicalDeviceProperties", &properties, (Function)get_properties},
    {"vkGetPhysicalDeviceProperties2", &properties_2, (Function)get_properties_2},
    {"vkGetPhysicalDeviceProperties2KHR", &properties_2, (Function)get_properties_2},
    {"vkCreateDevice", &create_device, (Function)make_device},
};

API Function vkGetInstanceProcAddr(void *instance, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (Function)vkGetInstanceProcAddr;
  Function found = driver()(instance, name);
  for (size_t i = 0; found && i < sizeof OURS / sizeof *OURS; i++)
    if (!strcmp(name, OURS[i].name)) {
      *OURS[i].theirs = found;
      return OURS[i].ours;
    }
  return found;
}
