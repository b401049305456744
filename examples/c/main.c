/* Runs a bundle once with ramps as inputs and prints the heads of its outputs: the smallest C program
 * on drift.h. `make && ./example MODEL.drift` */
#include <drift.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the library's message when a call fails. */
static void check(DriftStatus status) {
    if (status != DRIFT_STATUS_OK) {
        fprintf(stderr, "error: %s\n", drift_last_error());
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.drift\n", argv[0]);
        return 2;
    }
    DriftBundle *bundle;
    DriftDevice *device;
    DriftSession *session;
    check(drift_bundle_open(argv[1], &bundle));
    check(drift_device_best(bundle, &device));
    check(drift_session_create(device, bundle, NULL, &session));

    for (size_t i = 0; i < drift_session_input_count(session); i++) {
        DriftTensorInfo input;
        check(drift_session_input(session, i, &input));
        /* i / n for f32, zeros for all else (ids and masks) */
        uint8_t *data = calloc(input.bytes + 1, 1);
        size_t elems = input.bytes / sizeof(float);
        for (size_t k = 0; input.elem_type == DRIFT_TYPE_F32 && k < elems; k++)
            ((float *)data)[k] = (float)k / (float)elems;
        check(drift_session_set_input(session, input.name, input.elem_type, input.shape,
                                      input.rank, data, input.bytes));
        free(data);
    }
    check(drift_session_run(session));

    for (size_t i = 0; i < drift_session_output_count(session); i++) {
        DriftTensorInfo output;
        check(drift_session_output(session, i, &output));
        uint8_t *data = calloc(output.bytes + 1, 1);
        check(drift_session_get_output(session, output.name, data, output.bytes, NULL));
        printf("%s [", output.name);
        for (uint32_t d = 0; d < output.rank; d++)
            printf(d ? ", %llu" : "%llu", (unsigned long long)output.shape[d]);
        printf("]:");
        for (size_t k = 0; output.elem_type == DRIFT_TYPE_F32 && k < output.bytes / 4 && k < 8; k++)
            printf(" %g", ((float *)data)[k]);
        printf("\n");
        free(data);
    }
    drift_session_free(session);
    drift_device_free(device);
    drift_bundle_free(bundle);
    return 0;
}
