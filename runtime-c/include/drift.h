/* Drift: runs .drift bundles on a GPU.
 *
 * Written by `DRIFT_BLESS=1 cargo test -p drift-c --test header` from runtime-c/src: do not edit.
 *
 *   DriftBundle *bundle; DriftDevice *device; DriftSession *session;
 *   drift_bundle_open("shapes.drift", &bundle);           // each may fail: see below
 *   drift_device_best(bundle, &device);
 *   drift_session_create(device, bundle, NULL, &session);
 *   uint64_t shape[] = {1, 1, 32, 32};
 *   drift_session_set_input(session, "picture", DRIFT_TYPE_F32, shape, 4,
 *                           (const uint8_t *)pixels, sizeof pixels);
 *   drift_session_run(session);
 *   drift_session_get_output(session, "logits", (uint8_t *)logits, sizeof logits, NULL);
 *   drift_session_free(session); drift_device_free(device); drift_bundle_free(bundle);
 *
 * Link libdrift.a with -lpthread -ldl -lm, or libdrift.so. The GPU driver is looked up at run time.
 *
 * Errors. A function that can fail returns a DriftStatus, 0 being success; drift_last_error() then
 * has a message for people, on the thread of the call. After a failure, objects are as they were
 * before the call; what the function was to write is not to be read, but a place for a new object is
 * null. Only after DRIFT_STATUS_INTERNAL the objects of the call may not be used, but freed.
 *
 * Ownership. What drift_*_open, _from_memory, _best and _create write to their last argument belongs
 * to the caller, who frees it once with the drift_*_free of its type. Objects may be freed in any
 * order: each keeps what it needs. Arguments are read or copied during the call and stay the
 * caller's. Pointers that a function gives (names, shapes, assets) belong to the object that it was
 * called on, and live as long as it does.
 *
 * Pointers. Null is an error where it is not said to mean something. A pointer that is not null must
 * point to what its type and its size say, suitably aligned, and nobody may change that during the
 * call; an object may not be used after it was freed. Text is UTF-8 and ends in 0. An array of 0
 * elements may be null. Tensors are row-major and dense, little-endian.
 *
 * Threads. A bundle and a device may be used by several threads at once, a session and a generator
 * by one at a time, which need not always be the same.
 */

#ifndef DRIFT_H
#define DRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What came of a call.
enum DriftStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All is well.
  DRIFT_STATUS_OK = 0,
  // An argument is no argument: a null pointer, a wrong number, a size that does not fit, text
  // that is not UTF-8.
  DRIFT_STATUS_ARGUMENT = 1,
  // The bundle cannot be read or is damaged.
  DRIFT_STATUS_BUNDLE = 2,
  // There is no driver or no such device.
  DRIFT_STATUS_NO_DEVICE = 3,
  // The device runs no variant of the bundle; see drift_device_explain.
  DRIFT_STATUS_UNMET = 4,
  // A name, shape, type or value that the model does not take.
  DRIFT_STATUS_INPUT = 5,
  // A sequence of tokens has reached the end of the model's context.
  DRIFT_STATUS_CONTEXT_FULL = 6,
  // Out of memory, here or on the device.
  DRIFT_STATUS_OUT_OF_MEMORY = 7,
  // The device stopped answering: free its sessions and open it again.
  DRIFT_STATUS_DEVICE_LOST = 8,
  // The device has not finished in time.
  DRIFT_STATUS_TIMEOUT = 9,
  // The driver refused a call.
  DRIFT_STATUS_DRIVER = 10,
  // An error of this library; the objects of the call can only be freed. Please report it.
  DRIFT_STATUS_INTERNAL = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum DriftStatus DriftStatus;
#else
typedef uint32_t DriftStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A GPU interface.
enum DriftApi
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  DRIFT_API_VULKAN = 0,
  DRIFT_API_METAL = 1,
  DRIFT_API_OPENCL = 2,
  DRIFT_API_WEBGPU = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum DriftApi DriftApi;
#else
typedef uint32_t DriftApi;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Element types. `Bool` is a byte: 0 or 1.
enum DriftType
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  DRIFT_TYPE_F32 = 1,
  DRIFT_TYPE_F16 = 2,
  DRIFT_TYPE_F64 = 3,
  DRIFT_TYPE_I8 = 4,
  DRIFT_TYPE_U8 = 5,
  DRIFT_TYPE_I16 = 6,
  DRIFT_TYPE_U16 = 7,
  DRIFT_TYPE_I32 = 8,
  DRIFT_TYPE_U32 = 9,
  DRIFT_TYPE_I64 = 10,
  DRIFT_TYPE_U64 = 11,
  DRIFT_TYPE_BOOL = 12,
  DRIFT_TYPE_BF16 = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum DriftType DriftType;
#else
typedef uint32_t DriftType;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Kinds of devices, best first.
enum DriftDeviceKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  DRIFT_DEVICE_KIND_DISCRETE = 0,
  DRIFT_DEVICE_KIND_INTEGRATED = 1,
  DRIFT_DEVICE_KIND_VIRTUAL = 2,
  // A software implementation.
  DRIFT_DEVICE_KIND_CPU = 3,
  DRIFT_DEVICE_KIND_OTHER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum DriftDeviceKind DriftDeviceKind;
#else
typedef uint32_t DriftDeviceKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A checked bundle: a model, compiled for one or more targets. It may be used by several threads at
// once.
typedef struct DriftBundle DriftBundle;

// An open device. It may be used by several threads at once.
typedef struct DriftDevice DriftDevice;

// A sequence of tokens on a language model that is loaded on a device. One thread at a time may use
// it.
typedef struct DriftGenerator DriftGenerator;

// A bundle's variant, loaded on a device. One thread at a time may use it.
typedef struct DriftSession DriftSession;

// What is known of a device without opening it. Texts are UTF-8, end in 0 and are cut where they do
// not fit.
typedef struct DriftDeviceInfo {
  // DRIFT_API_...
  uint32_t api;
  // Number of the device among those of its API, for drift_device_open.
  uint32_t index;
  // DRIFT_DEVICE_KIND_...
  uint32_t kind;
  // Bytes of the largest device-local heap; 0 where the driver does not tell.
  uint64_t memory_bytes;
  char name[256];
  // Name and version of the driver.
  char driver[256];
  // Version of the API.
  char api_version[64];
} DriftDeviceInfo;

// How the next token is chosen.
typedef struct DriftSampling {
  // 0 takes the most likely token.
  float temperature;
  // Keeps the k most likely tokens; 0 = all.
  uint32_t top_k;
  // Keeps the most likely tokens that make up this share; 1 = all.
  float top_p;
  // Drops tokens less likely than this share of the most likely one; 0 = none.
  float min_p;
  // Divides positive logits of tokens seen before, multiplies negative ones; 1 = off.
  float repetition_penalty;
  // Tokens that the penalty looks back; 0 = all.
  uint32_t penalty_window;
  // The same seed gives the same tokens at the same positions.
  uint32_t seed;
} DriftSampling;

// How a session is made. All zeros is the default.
typedef struct DriftLoadOptions {
  // Target id of the variant to run; null = the best one.
  const char *variant;
  // Folder for compiled pipelines; null = the user's cache folder.
  const char *cache_dir;
  // Keep no compiled pipelines.
  bool no_cache;
} DriftLoadOptions;

// An input, output or state. What it points to lives as long as its session.
typedef struct DriftTensorInfo {
  // The model's name, UTF-8, 0 at its end.
  const char *name;
  // DRIFT_TYPE_...
  uint32_t elem_type;
  uint32_t rank;
  // `rank` sizes.
  const uint64_t *shape;
  // Bytes of all elements.
  size_t bytes;
} DriftTensorInfo;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What the last failed call on this thread had to say; "" before the first failure. Valid until the
// next failure on this thread. Never null.
const char *drift_last_error(void);

// Version of the library: major * 10000 + minor * 100 + patch.
uint32_t drift_version(void);

// Maps and checks a .drift file. The file must not be changed until everything made of the bundle is
// freed.
DriftStatus drift_bundle_open(const char *path,
                              struct DriftBundle **bundle);

// Checks a bundle in memory, which is copied: it may be freed afterwards.
DriftStatus drift_bundle_from_memory(const uint8_t *data, size_t size, struct DriftBundle **bundle);

// Reads the weights once and compares them with their checksum; `DRIFT_STATUS_BUNDLE` says that they
// were damaged after they were written. Everything else is checked when a bundle is opened. Weights
// may be many gigabytes, so it is for programs that cannot trust the file (a download, a memory card)
// and is called before a session is made. Of a file little stays in memory.
DriftStatus drift_bundle_verify(const struct DriftBundle *bundle);

// Copies the model's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
// long it is. With memory null and capacity 0, only the size is told.
DriftStatus drift_bundle_model(const struct DriftBundle *bundle,
                               uint8_t *name,
                               size_t capacity,
                               size_t *size);

// Bytes that travel with the bundle ("tokenizer.json", say): a pointer into the bundle, valid until
// it is freed.
DriftStatus drift_bundle_asset(const struct DriftBundle *bundle,
                               const char *name,
                               const uint8_t **data,
                               size_t *size);

// Frees a bundle; null is nothing. Sessions that were made of it keep what they need.
void drift_bundle_free(struct DriftBundle *bundle);

// Lists the devices, best first in each API: writes up to `capacity` of them, and in `count` how
// many there are. With devices null and capacity 0, only their number is told. No device at all is
// DRIFT_STATUS_NO_DEVICE.
DriftStatus drift_device_list(struct DriftDeviceInfo *devices, size_t capacity, size_t *count);

// Opens a device by the number that it has in its API (DRIFT_API_...).
DriftStatus drift_device_open(uint32_t api, uint32_t index, struct DriftDevice **device);

// Opens the best device that runs some variant of the bundle. The environment variable DRIFT_DEVICE
// (a number, a part of the name, or "opencl:...") overrides the choice.
DriftStatus drift_device_best(const struct DriftBundle *bundle, struct DriftDevice **device);

// Says which variant of the bundle the device runs and why not the others, as UTF-8 without a 0, to
// memory of `capacity` bytes, and in `size` how long that is. With text null and capacity 0, only
// the size is told. A line per variant ("vulkan-modern: chosen", "...: fits", "...: rejected"), and
// below a rejected one an indented line for each requirement that is not met.
DriftStatus drift_device_explain(const struct DriftDevice *device,
                                 const struct DriftBundle *bundle,
                                 uint8_t *explanation,
                                 size_t capacity,
                                 size_t *size);

// Copies the device's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
// long it is. With name null and capacity 0, only the size is told.
DriftStatus drift_device_name(const struct DriftDevice *device,
                              uint8_t *name,
                              size_t capacity,
                              size_t *size);

// Frees a device; null is nothing. Sessions on it keep it open.
void drift_device_free(struct DriftDevice *device);

// What the last failed call on this thread had to say; "" before the first failure. Valid until the
// next failure on this thread. Never null.
const char *drift_last_error(void);

// The settings at the start: the most likely token, nothing else.
struct DriftSampling drift_sampling_greedy(void);

// Loads a language model (see drift_session_create) and starts an empty sequence.
DriftStatus drift_generator_create(const struct DriftDevice *device,
                                   const struct DriftBundle *bundle,
                                   const struct DriftLoadOptions *options,
                                   struct DriftGenerator **generator);

// Changes how tokens are chosen, from the next run on.
DriftStatus drift_generator_set_sampling(struct DriftGenerator *generator,
                                         const struct DriftSampling *sampling);

// Puts token ids behind the sequence. Returns before the device is done.
DriftStatus drift_generator_prefill(struct DriftGenerator *generator,
                                    const uint32_t *ids,
                                    size_t count);

// Gives the next `count` token ids, which become part of the sequence.
DriftStatus drift_generator_decode(struct DriftGenerator *generator, uint32_t *ids, size_t count);

// Logits behind the last token that the device has read: `count` must be the number of token ids
// (drift_generator_limits).
DriftStatus drift_generator_logits(struct DriftGenerator *generator, float *logits, size_t count);

// Shortens the sequence to its first `length` tokens; 0 is always possible.
DriftStatus drift_generator_truncate(struct DriftGenerator *generator, size_t length);

// Tokens of the sequence so far, tokens that the caches hold, and number of token ids. Any of the
// places may be null.
DriftStatus drift_generator_limits(const struct DriftGenerator *generator,
                                   size_t *position,
                                   size_t *context,
                                   size_t *vocabulary);

// Frees a generator; null is nothing.
void drift_generator_free(struct DriftGenerator *generator);

// Loads a bundle on a device: creates objects, uploads weights, compiles pipelines, records
// commands. The bundle's shaders run as they are; run bundles from people whose programs you would
// run. Options may be null.
DriftStatus drift_session_create(const struct DriftDevice *device,
                                 const struct DriftBundle *bundle,
                                 const struct DriftLoadOptions *options,
                                 struct DriftSession **session);

// Chooses the entry point that the other functions mean; the first one at the start.
DriftStatus drift_session_set_entry(struct DriftSession *session, const char *name);

// Number of inputs of the entry point; 0 for a null session.
size_t drift_session_input_count(const struct DriftSession *session);

// Number of outputs of the entry point; 0 for a null session.
size_t drift_session_output_count(const struct DriftSession *session);

// Number of states (tensors that persist between runs); 0 for a null session.
size_t drift_session_state_count(const struct DriftSession *session);

// Describes an input of the entry point.
DriftStatus drift_session_input(const struct DriftSession *session,
                                size_t index,
                                struct DriftTensorInfo *info);

// Describes an output of the entry point.
DriftStatus drift_session_output(const struct DriftSession *session,
                                 size_t index,
                                 struct DriftTensorInfo *info);

// Describes a state, in the types that it has on the device.
DriftStatus drift_session_state(const struct DriftSession *session,
                                size_t index,
                                struct DriftTensorInfo *info);

// Sets an input, which keeps its contents over later runs. Type (DRIFT_TYPE_...; another one of the
// same kind is converted), shape and size must be the model's; with rank 0 and shape null the shape
// of a tensor is not compared. The data is copied.
DriftStatus drift_session_set_input(struct DriftSession *session,
                                    const char *name,
                                    uint32_t elem_type,
                                    const uint64_t *shape,
                                    size_t rank,
                                    const uint8_t *data,
                                    size_t size);

// Runs once and waits. Every input must have been set.
DriftStatus drift_session_run(struct DriftSession *session);

// Copies an output of the last run to memory of `capacity` bytes and says in `size` (may be null)
// how many there are. With data null and capacity 0, only the size is told.
DriftStatus drift_session_get_output(struct DriftSession *session,
                                     const char *name,
                                     uint8_t *data,
                                     size_t capacity,
                                     size_t *size);

// Reads `size` bytes of a state, from a byte offset on, as the runs so far leave them.
DriftStatus drift_session_read_state(struct DriftSession *session,
                                     const char *name,
                                     uint64_t offset,
                                     uint8_t *data,
                                     size_t size);

// Overwrites `size` bytes of a state, from a byte offset on, for the runs that follow.
DriftStatus drift_session_write_state(struct DriftSession *session,
                                      const char *name,
                                      uint64_t offset,
                                      const uint8_t *data,
                                      size_t size);

// Fills all states with zeros, as at the start.
DriftStatus drift_session_reset_states(struct DriftSession *session);

// Frees a session; null is nothing.
void drift_session_free(struct DriftSession *session);

// Maps and checks a .drift file. The file must not be changed until everything made of the bundle is
// freed.
DriftStatus drift_bundle_open(const char *path,
                              struct DriftBundle **bundle);

// Checks a bundle in memory, which is copied: it may be freed afterwards.
DriftStatus drift_bundle_from_memory(const uint8_t *data, size_t size, struct DriftBundle **bundle);

// Reads the weights once and compares them with their checksum; `DRIFT_STATUS_BUNDLE` says that they
// were damaged after they were written. Everything else is checked when a bundle is opened. Weights
// may be many gigabytes, so it is for programs that cannot trust the file (a download, a memory card)
// and is called before a session is made. Of a file little stays in memory.
DriftStatus drift_bundle_verify(const struct DriftBundle *bundle);

// Copies the model's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
// long it is. With memory null and capacity 0, only the size is told.
DriftStatus drift_bundle_model(const struct DriftBundle *bundle,
                               uint8_t *name,
                               size_t capacity,
                               size_t *size);

// Bytes that travel with the bundle ("tokenizer.json", say): a pointer into the bundle, valid until
// it is freed.
DriftStatus drift_bundle_asset(const struct DriftBundle *bundle,
                               const char *name,
                               const uint8_t **data,
                               size_t *size);

// Frees a bundle; null is nothing. Sessions that were made of it keep what they need.
void drift_bundle_free(struct DriftBundle *bundle);

// Lists the devices, best first in each API: writes up to `capacity` of them, and in `count` how
// many there are. With devices null and capacity 0, only their number is told. No device at all is
// DRIFT_STATUS_NO_DEVICE.
DriftStatus drift_device_list(struct DriftDeviceInfo *devices, size_t capacity, size_t *count);

// Opens a device by the number that it has in its API (DRIFT_API_...).
DriftStatus drift_device_open(uint32_t api, uint32_t index, struct DriftDevice **device);

// Opens the best device that runs some variant of the bundle. The environment variable DRIFT_DEVICE
// (a number, a part of the name, or "opencl:...") overrides the choice.
DriftStatus drift_device_best(const struct DriftBundle *bundle, struct DriftDevice **device);

// Says which variant of the bundle the device runs and why not the others, as UTF-8 without a 0, to
// memory of `capacity` bytes, and in `size` how long that is. With text null and capacity 0, only
// the size is told. A line per variant ("vulkan-modern: chosen", "...: fits", "...: rejected"), and
// below a rejected one an indented line for each requirement that is not met.
DriftStatus drift_device_explain(const struct DriftDevice *device,
                                 const struct DriftBundle *bundle,
                                 uint8_t *explanation,
                                 size_t capacity,
                                 size_t *size);

// Copies the device's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
// long it is. With name null and capacity 0, only the size is told.
DriftStatus drift_device_name(const struct DriftDevice *device,
                              uint8_t *name,
                              size_t capacity,
                              size_t *size);

// Frees a device; null is nothing. Sessions on it keep it open.
void drift_device_free(struct DriftDevice *device);

// Loads a bundle on a device: creates objects, uploads weights, compiles pipelines, records
// commands. The bundle's shaders run as they are; run bundles from people whose programs you would
// run. Options may be null.
DriftStatus drift_session_create(const struct DriftDevice *device,
                                 const struct DriftBundle *bundle,
                                 const struct DriftLoadOptions *options,
                                 struct DriftSession **session);

// Chooses the entry point that the other functions mean; the first one at the start.
DriftStatus drift_session_set_entry(struct DriftSession *session, const char *name);

// Number of inputs of the entry point; 0 for a null session.
size_t drift_session_input_count(const struct DriftSession *session);

// Number of outputs of the entry point; 0 for a null session.
size_t drift_session_output_count(const struct DriftSession *session);

// Number of states (tensors that persist between runs); 0 for a null session.
size_t drift_session_state_count(const struct DriftSession *session);

// Describes an input of the entry point.
DriftStatus drift_session_input(const struct DriftSession *session,
                                size_t index,
                                struct DriftTensorInfo *info);

// Describes an output of the entry point.
DriftStatus drift_session_output(const struct DriftSession *session,
                                 size_t index,
                                 struct DriftTensorInfo *info);

// Describes a state, in the types that it has on the device.
DriftStatus drift_session_state(const struct DriftSession *session,
                                size_t index,
                                struct DriftTensorInfo *info);

// Sets an input, which keeps its contents over later runs. Type (DRIFT_TYPE_...; another one of the
// same kind is converted), shape and size must be the model's; with rank 0 and shape null the shape
// of a tensor is not compared. The data is copied.
DriftStatus drift_session_set_input(struct DriftSession *session,
                                    const char *name,
                                    uint32_t elem_type,
                                    const uint64_t *shape,
                                    size_t rank,
                                    const uint8_t *data,
                                    size_t size);

// Runs once and waits. Every input must have been set.
DriftStatus drift_session_run(struct DriftSession *session);

// Copies an output of the last run to memory of `capacity` bytes and says in `size` (may be null)
// how many there are. With data null and capacity 0, only the size is told.
DriftStatus drift_session_get_output(struct DriftSession *session,
                                     const char *name,
                                     uint8_t *data,
                                     size_t capacity,
                                     size_t *size);

// Reads `size` bytes of a state, from a byte offset on, as the runs so far leave them.
DriftStatus drift_session_read_state(struct DriftSession *session,
                                     const char *name,
                                     uint64_t offset,
                                     uint8_t *data,
                                     size_t size);

// Overwrites `size` bytes of a state, from a byte offset on, for the runs that follow.
DriftStatus drift_session_write_state(struct DriftSession *session,
                                      const char *name,
                                      uint64_t offset,
                                      const uint8_t *data,
                                      size_t size);

// Fills all states with zeros, as at the start.
DriftStatus drift_session_reset_states(struct DriftSession *session);

// Frees a session; null is nothing.
void drift_session_free(struct DriftSession *session);

// The settings at the start: the most likely token, nothing else.
struct DriftSampling drift_sampling_greedy(void);

// Loads a language model (see drift_session_create) and starts an empty sequence.
DriftStatus drift_generator_create(const struct DriftDevice *device,
                                   const struct DriftBundle *bundle,
                                   const struct DriftLoadOptions *options,
                                   struct DriftGenerator **generator);

// Changes how tokens are chosen, from the next run on.
DriftStatus drift_generator_set_sampling(struct DriftGenerator *generator,
                                         const struct DriftSampling *sampling);

// Puts token ids behind the sequence. Returns before the device is done.
DriftStatus drift_generator_prefill(struct DriftGenerator *generator,
                                    const uint32_t *ids,
                                    size_t count);

// Gives the next `count` token ids, which become part of the sequence.
DriftStatus drift_generator_decode(struct DriftGenerator *generator, uint32_t *ids, size_t count);

// Logits behind the last token that the device has read: `count` must be the number of token ids
// (drift_generator_limits).
DriftStatus drift_generator_logits(struct DriftGenerator *generator, float *logits, size_t count);

// Shortens the sequence to its first `length` tokens; 0 is always possible.
DriftStatus drift_generator_truncate(struct DriftGenerator *generator, size_t length);

// Tokens of the sequence so far, tokens that the caches hold, and number of token ids. Any of the
// places may be null.
DriftStatus drift_generator_limits(const struct DriftGenerator *generator,
                                   size_t *position,
                                   size_t *context,
                                   size_t *vocabulary);

// Frees a generator; null is nothing.
void drift_generator_free(struct DriftGenerator *generator);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DRIFT_H */
