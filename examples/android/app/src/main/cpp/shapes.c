/* JNI: one picture through a bundle. See MainActivity.kt. */
#include <drift.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 32 * 32, CLASSES = 8 };

static const char *const NAMES[CLASSES] = {"circle", "ring",  "square",  "triangle",
                                           "cross",  "star",  "stripes", "dots"};

/* What a call has to say: the answer, or the library's message. */
static void answer(const uint8_t *bundle_bytes, size_t size, const char *cache, const float *pixels,
                   char *out, size_t capacity) {
    DriftBundle *bundle = NULL;
    DriftDevice *device = NULL;
    DriftSession *session = NULL;
    DriftLoadOptions options = {.cache_dir = cache};
    uint64_t shape[] = {1, 1, 32, 32};
    float logits[CLASSES];
    uint8_t name[256];
    size_t length = 0;

    DriftStatus s = drift_bundle_from_memory(bundle_bytes, size, &bundle);
    if (s == DRIFT_STATUS_OK) s = drift_device_best(bundle, &device);
    if (s == DRIFT_STATUS_OK) s = drift_device_name(device, name, sizeof name, &length);
    if (s == DRIFT_STATUS_OK) s = drift_session_create(device, bundle, &options, &session);
    if (s == DRIFT_STATUS_OK)
        s = drift_session_set_input(session, "picture", DRIFT_TYPE_F32, shape, 4,
                                    (const uint8_t *)pixels, PIXELS * sizeof *pixels);
    if (s == DRIFT_STATUS_OK) s = drift_session_run(session);
    if (s == DRIFT_STATUS_OK)
        s = drift_session_get_output(session, "logits", (uint8_t *)logits, sizeof logits, NULL);

    if (s == DRIFT_STATUS_OK) {
        int best = 0;
        for (int i = 1; i < CLASSES; i++) best = logits[i] > logits[best] ? i : best;
        snprintf(out, capacity, "%.*s: %s (logit %.2f)", (int)length, name, NAMES[best], logits[best]);
    } else {
        snprintf(out, capacity, "error %u: %s", (unsigned)s, drift_last_error());
    }
    drift_session_free(session);
    drift_device_free(device);
    drift_bundle_free(bundle);
}

JNIEXPORT jstring JNICALL Java_dev_drift_shapes_MainActivity_classify(
    JNIEnv *env, jobject self, jbyteArray bundle, jstring cache, jfloatArray pixels) {
    (void)self;
    char text[4096];
    if ((*env)->GetArrayLength(env, pixels) != PIXELS) {
        return (*env)->NewStringUTF(env, "a picture has 32 x 32 pixels");
    }
    jbyte *bytes = (*env)->GetByteArrayElements(env, bundle, NULL);
    jfloat *floats = (*env)->GetFloatArrayElements(env, pixels, NULL);
    const char *folder = (*env)->GetStringUTFChars(env, cache, NULL);
    answer((const uint8_t *)bytes, (size_t)(*env)->GetArrayLength(env, bundle), folder, floats, text,
           sizeof text);
    (*env)->ReleaseStringUTFChars(env, cache, folder);
    (*env)->ReleaseFloatArrayElements(env, pixels, floats, JNI_ABORT);
    (*env)->ReleaseByteArrayElements(env, bundle, bytes, JNI_ABORT);
    return (*env)->NewStringUTF(env, text);
}
