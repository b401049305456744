/* Runs the embedded models through drift.h and misuses it; exits with 0, 1 after a failed check, or
 * 77 without a GPU driver. Its argument is the folder that tests/c.rs prepared. */
#include <drift.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) \
    do { fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); fprintf(stderr, __VA_ARGS__); \
         fprintf(stderr, "\nlast error: %s\n", drift_last_error()); exit(1); } while (0)
#define CHECK(condition) do { if (!(condition)) FAIL("%s", #condition); } while (0)
#define OK(call) \
    do { DriftStatus s_ = (call); if (s_ != DRIFT_STATUS_OK) FAIL("%s: status %u", #call, s_); } while (0)
/* The call fails with this status and a message that has this part. */
#define FAILS(status, part, call) \
    do { DriftStatus s_ = (call); if (s_ != (status)) FAIL("%s: status %u", #call, s_); \
         if (!strstr(drift_last_error(), part)) FAIL("%s: no \"%s\"", #call, part); } while (0)

enum { PICTURES = 16, PIXELS = 32 * 32, CLASSES = 8 };

/* A whole file; the caller frees it. */
static uint8_t *contents(const char *folder, const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) FAIL("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    CHECK(bytes && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static void bundles(const char *folder, DriftBundle **shapes, DriftBundle **tales) {
    char path[4096];
    snprintf(path, sizeof path, "%s/shapes.drift", folder);
    OK(drift_bundle_open(path, shapes));
    FAILS(DRIFT_STATUS_ARGUMENT, "path is null", drift_bundle_open(NULL, tales));
    FAILS(DRIFT_STATUS_ARGUMENT, "bundle is null", drift_bundle_open(path, NULL));
    FAILS(DRIFT_STATUS_ARGUMENT, "UTF-8", drift_bundle_open("\xff\xfe", tales));
    *tales = (DriftBundle *)folder;
    FAILS(DRIFT_STATUS_BUNDLE, "no-such-file", drift_bundle_open("no-such-file.drift", tales));
    CHECK(*tales == NULL);

    size_t size;
    uint8_t *bytes = contents(folder, "tales.drift", &size);
    FAILS(DRIFT_STATUS_ARGUMENT, "data is null", drift_bundle_from_memory(NULL, 8, tales));
    FAILS(DRIFT_STATUS_BUNDLE, "", drift_bundle_from_memory(NULL, 0, tales));
    FAILS(DRIFT_STATUS_BUNDLE, "", drift_bundle_from_memory(bytes, size / 2, tales));
    FAILS(DRIFT_STATUS_ARGUMENT, "cannot have", drift_bundle_from_memory(bytes, SIZE_MAX, tales));
    bytes[40] ^= 1;
    FAILS(DRIFT_STATUS_BUNDLE, "", drift_bundle_from_memory(bytes, size, tales));
    bytes[40] ^= 1;
    /* weights are most of the file, and are not read when it is opened */
    bytes[size / 2] ^= 1;
    OK(drift_bundle_from_memory(bytes, size, tales));
    FAILS(DRIFT_STATUS_BUNDLE, "section WEIGHTS", drift_bundle_verify(*tales));
    drift_bundle_free(*tales);
    bytes[size / 2] ^= 1;
    OK(drift_bundle_from_memory(bytes, size, tales));
    OK(drift_bundle_verify(*tales));
    OK(drift_bundle_verify(*shapes));
    FAILS(DRIFT_STATUS_ARGUMENT, "bundle is null", drift_bundle_verify(NULL));
    free(bytes);

    uint8_t name[64];
    OK(drift_bundle_model(*shapes, NULL, 0, &size));
    CHECK(size >= 6 && size <= sizeof name);
    OK(drift_bundle_model(*shapes, name, sizeof name, NULL));
    CHECK(memcmp(name, "shapes", 6) == 0);
    FAILS(DRIFT_STATUS_ARGUMENT, "do not fit", drift_bundle_model(*shapes, name, 5, &size));
    FAILS(DRIFT_STATUS_ARGUMENT, "null", drift_bundle_model(*shapes, NULL, 0, NULL));
    FAILS(DRIFT_STATUS_ARGUMENT, "bundle is null", drift_bundle_model(NULL, name, 6, &size));
    const uint8_t *asset;
    OK(drift_bundle_asset(*tales, "tokenizer.json", &asset, &size));
    CHECK(size > 2 && asset[0] == '{');
    FAILS(DRIFT_STATUS_INPUT, "no asset", drift_bundle_asset(*tales, "x", &asset, &size));
}

/* Exits with 77 where there is no driver. */
static DriftDevice *devices(const DriftBundle *shapes) {
    size_t count;
    FAILS(DRIFT_STATUS_ARGUMENT, "count is null", drift_device_list(NULL, 0, NULL));
    if (drift_device_list(NULL, 0, &count) == DRIFT_STATUS_NO_DEVICE) {
        fprintf(stderr, "%s\n", drift_last_error());
        exit(77);
    }
    CHECK(count > 0);
    DriftDeviceInfo *list = calloc(count, sizeof *list);
    OK(drift_device_list(list, count, &count));
    for (size_t i = 0; i < count; i++) {
        CHECK(list[i].name[0] && memchr(list[i].name, 0, sizeof list[i].name));
        printf("device %u of API %u: %s (%s)\n", list[i].index, list[i].api, list[i].name, list[i].driver);
    }
    FAILS(DRIFT_STATUS_ARGUMENT, "devices is null", drift_device_list(NULL, 1, &count));

    DriftDevice *device, *other;
    OK(drift_device_best(shapes, &device));
    FAILS(DRIFT_STATUS_ARGUMENT, "API 9", drift_device_open(9, 0, &other));
    FAILS(DRIFT_STATUS_NO_DEVICE, "", drift_device_open(DRIFT_API_VULKAN, 999, &other));
    CHECK(other == NULL);
    OK(drift_device_open(list[0].api, list[0].index, &other));
    drift_device_free(other);
    free(list);

    size_t size;
    char text[8192];
    OK(drift_device_name(device, (uint8_t *)text, sizeof text, &size));
    CHECK(size > 0);
    OK(drift_device_explain(device, shapes, NULL, 0, &size));
    CHECK(size > 0 && size < sizeof text);
    OK(drift_device_explain(device, shapes, (uint8_t *)text, sizeof text, &size));
    text[size] = 0;
    CHECK(strstr(text, "vulkan-baseline: chosen\n") && strstr(text, "metal-generic: rejected\n  api: needs metal"));
    return device;
}

static void pictures(const char *folder, const DriftDevice *device, const DriftBundle *bundle) {
    DriftSession *s;
    DriftLoadOptions options = {.variant = "vulkan-baseline", .no_cache = true};
    OK(drift_session_create(device, bundle, &options, &s));
    DriftTensorInfo in, out;
    CHECK(drift_session_input_count(s) == 1 && drift_session_output_count(s) == 1);
    CHECK(drift_session_input_count(NULL) == 0 && drift_session_state_count(s) == 0);
    OK(drift_session_input(s, 0, &in));
    OK(drift_session_output(s, 0, &out));
    CHECK(!strcmp(in.name, "picture") && in.elem_type == DRIFT_TYPE_F32 && in.rank == 4);
    CHECK(in.shape[2] == 32 && in.bytes == 4 * PIXELS && out.bytes == 4 * CLASSES);
    FAILS(DRIFT_STATUS_ARGUMENT, "index 1", drift_session_input(s, 1, &in));
    FAILS(DRIFT_STATUS_ARGUMENT, "info is null", drift_session_input(s, 0, NULL));

    size_t size;
    uint8_t *pixels = contents(folder, "pictures.f32", &size);
    CHECK(size == 4 * PIXELS * PICTURES);
    uint8_t *want_bytes = contents(folder, "logits.f32", &size);
    const float *want = (const float *)want_bytes;
    const uint64_t shape[] = {1, 1, 32, 32}, wrong[] = {1, 1, 16, 64};

    FAILS(DRIFT_STATUS_INPUT, "never set", drift_session_run(s));
#define SET(name, type, shape, rank, data, size) drift_session_set_input(s, name, type, shape, rank, data, size)
    FAILS(DRIFT_STATUS_INPUT, "picture", SET("photo", DRIFT_TYPE_F32, shape, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_INPUT, "shape", SET("picture", DRIFT_TYPE_F32, wrong, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_INPUT, "shape", SET("picture", DRIFT_TYPE_F32, shape, 3, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_INPUT, "elements", SET("picture", DRIFT_TYPE_F32, shape, 4, pixels, 4 * PIXELS - 1));
    FAILS(DRIFT_STATUS_INPUT, "F32", SET("picture", DRIFT_TYPE_I32, shape, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_ARGUMENT, "type 99", SET("picture", 99, shape, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_ARGUMENT, "data is null", SET("picture", DRIFT_TYPE_F32, shape, 4, NULL, 4 * PIXELS));
    FAILS(DRIFT_STATUS_ARGUMENT, "shape is null", SET("picture", DRIFT_TYPE_F32, NULL, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_ARGUMENT, "name is null", SET(NULL, DRIFT_TYPE_F32, shape, 4, pixels, 4 * PIXELS));
    FAILS(DRIFT_STATUS_INPUT, "never set", drift_session_run(s));
    FAILS(DRIFT_STATUS_INPUT, "entry point", drift_session_set_entry(s, "nothing"));

    float logits[CLASSES], worst = 0;
    for (int i = 0; i < PICTURES; i++) {
        OK(SET("picture", DRIFT_TYPE_F32, i % 2 ? shape : NULL, i % 2 ? 4 : 0, pixels + 4 * PIXELS * i, 4 * PIXELS));
        OK(drift_session_run(s));
        OK(drift_session_get_output(s, "logits", (uint8_t *)logits, sizeof logits, NULL));
        for (int c = 0; c < CLASSES; c++) worst = fmaxf(worst, fabsf(logits[c] - want[CLASSES * i + c]));
    }
    CHECK(worst <= 1e-3f);
    printf("%d pictures, largest difference %g\n", PICTURES, worst);
    OK(drift_session_get_output(s, "logits", NULL, 0, &size));
    CHECK(size == sizeof logits);
    FAILS(DRIFT_STATUS_ARGUMENT, "do not fit", drift_session_get_output(s, "logits", (uint8_t *)logits, 31, &size));
    FAILS(DRIFT_STATUS_INPUT, "logits", drift_session_get_output(s, "probs", NULL, 0, &size));
    FAILS(DRIFT_STATUS_ARGUMENT, "session is null", drift_session_run(NULL));
    drift_session_free(s);

    options.variant = "metal-generic";
    FAILS(DRIFT_STATUS_UNMET, "api: needs metal", drift_session_create(device, bundle, &options, &s));
    options.variant = "unknown";
    FAILS(DRIFT_STATUS_INPUT, "vulkan-baseline", drift_session_create(device, bundle, &options, &s));
    CHECK(s == NULL);
    DriftGenerator *g;
    FAILS(DRIFT_STATUS_INPUT, "", drift_generator_create(device, bundle, NULL, &g));
    free(pixels);
    free(want_bytes);
}

static void states(const DriftDevice *device, const DriftBundle *bundle) {
    DriftSession *s;
    OK(drift_session_create(device, bundle, NULL, &s));
    size_t count = drift_session_state_count(s), i = 0;
    DriftTensorInfo info;
    for (; i < count; i++) {
        OK(drift_session_state(s, i, &info));
        if (!strcmp(info.name, "tokens")) break;
    }
    CHECK(i < count && info.elem_type == DRIFT_TYPE_I32 && info.bytes == 4 * 65);
    uint32_t ids[3] = {7, 8, 9}, back[3] = {0};
    OK(drift_session_write_state(s, "tokens", 4, (uint8_t *)ids, sizeof ids));
    OK(drift_session_read_state(s, "tokens", 8, (uint8_t *)back, sizeof back));
    CHECK(back[0] == 8 && back[1] == 9 && back[2] == 0);
    FAILS(DRIFT_STATUS_INPUT, "state", drift_session_read_state(s, "tokens", 4 * 64, (uint8_t *)back, 12));
    FAILS(DRIFT_STATUS_INPUT, "state", drift_session_write_state(s, "tokens", UINT64_MAX, (uint8_t *)ids, 12));
    FAILS(DRIFT_STATUS_INPUT, "tokens", drift_session_read_state(s, "token", 0, (uint8_t *)back, 12));
    OK(drift_session_reset_states(s));
    OK(drift_session_read_state(s, "tokens", 4, (uint8_t *)back, sizeof back));
    CHECK(back[0] == 0);
    drift_session_free(s);
}

static void tale(const char *folder, const DriftDevice *device, const DriftBundle *bundle) {
    DriftGenerator *g;
    OK(drift_generator_create(device, bundle, NULL, &g));
    size_t prompt_size, tale_size, position, context, vocabulary;
    uint32_t *prompt = (uint32_t *)contents(folder, "prompt.u32", &prompt_size);
    uint32_t *want = (uint32_t *)contents(folder, "tale.u32", &tale_size);
    size_t n = tale_size / 4;
    uint32_t *got = calloc(n, 4);
    OK(drift_generator_limits(g, NULL, &context, &vocabulary));
    CHECK(context == 64 && vocabulary == 512);
    for (int again = 0; again < 2; again++) {
        OK(drift_generator_prefill(g, prompt, prompt_size / 4));
        OK(drift_generator_decode(g, got, n));
        CHECK(memcmp(got, want, tale_size) == 0);
        OK(drift_generator_limits(g, &position, NULL, NULL));
        CHECK(position == prompt_size / 4 + n);
        OK(drift_generator_truncate(g, 0));
    }
    printf("%zu tokens as expected\n", n);

    DriftSampling sampling = drift_sampling_greedy();
    CHECK(sampling.temperature == 0 && sampling.top_p == 1 && sampling.repetition_penalty == 1);
    sampling.top_p = 2;
    FAILS(DRIFT_STATUS_INPUT, "top_p", drift_generator_set_sampling(g, &sampling));
    FAILS(DRIFT_STATUS_ARGUMENT, "sampling is null", drift_generator_set_sampling(g, NULL));
    sampling.top_p = 0.9f;
    sampling.temperature = 1.5f;
    sampling.seed = 3;
    OK(drift_generator_set_sampling(g, &sampling));
    uint32_t drawn[2][8];
    for (int again = 0; again < 2; again++) {
        OK(drift_generator_prefill(g, prompt, prompt_size / 4));
        OK(drift_generator_decode(g, drawn[again], 8));
        OK(drift_generator_truncate(g, 0));
    }
    CHECK(memcmp(drawn[0], drawn[1], sizeof drawn[0]) == 0 && memcmp(drawn[0], want, sizeof drawn[0]) != 0);

    float *logits = calloc(vocabulary, sizeof *logits);
    OK(drift_generator_prefill(g, prompt, prompt_size / 4));
    OK(drift_generator_logits(g, logits, vocabulary));
    size_t best = 0;
    for (size_t i = 0; i < vocabulary; i++) best = logits[i] > logits[best] ? i : best;
    CHECK(best == want[0]);
    FAILS(DRIFT_STATUS_ARGUMENT, "512 logits", drift_generator_logits(g, logits, 511));
    free(logits);

    const uint32_t too_large = 512;
    FAILS(DRIFT_STATUS_INPUT, "512", drift_generator_prefill(g, &too_large, 1));
    FAILS(DRIFT_STATUS_ARGUMENT, "ids is null", drift_generator_prefill(g, NULL, 1));
    FAILS(DRIFT_STATUS_ARGUMENT, "not aligned", drift_generator_prefill(g, (const uint32_t *)((uintptr_t)prompt + 1), 1));
    OK(drift_generator_prefill(g, NULL, 0));
    FAILS(DRIFT_STATUS_INPUT, "", drift_generator_truncate(g, 999));
    uint32_t many[100];
    FAILS(DRIFT_STATUS_CONTEXT_FULL, "context", drift_generator_decode(g, many, 100));
    FAILS(DRIFT_STATUS_ARGUMENT, "ids is null", drift_generator_decode(g, NULL, 1));
    drift_generator_free(g);
    free(prompt);
    free(want);
    free(got);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(drift_version() > 0 && drift_last_error()[0] == 0);
    DriftBundle *shapes, *tales;
    bundles(argv[1], &shapes, &tales);
    DriftDevice *device = devices(shapes);
    pictures(argv[1], device, shapes);
    states(device, tales);
    tale(argv[1], device, tales);
    drift_device_free(device);
    drift_bundle_free(shapes);
    drift_bundle_free(tales);
    drift_session_free(NULL);
    drift_generator_free(NULL);
    drift_device_free(NULL);
    drift_bundle_free(NULL);
    return 0;
}
