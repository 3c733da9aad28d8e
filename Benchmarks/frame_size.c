// Compresses one file at several frame sizes, levels and window settings and prints ratio and speed of each.
// Usage: frame_size FILE LEVEL... ; one core, CPU time, the file held in memory; output is thrown away.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zstd.h>

#define MIB ((size_t)1 << 20)

enum window { WINDOW_DEFAULT, WINDOW_FRAME, WINDOW_FRAME_LDM };

static const char *const window_names[] = {"level's own", "whole frame", "whole frame + LDM"};

static void fail(const char *what) {
    fprintf(stderr, "error: %s\n", what);
    exit(1);
}

static size_t checked(size_t result) {
    if (ZSTD_isError(result)) {
        fail(ZSTD_getErrorName(result));
    }
    return result;
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int log2_ceiling(size_t value) {
    int result = 0;
    while (((size_t)1 << result) < value) {
        result++;
    }
    return result;
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        fail("the file cannot be read");
    }
    *size = (size_t)status.st_size;
    char *data = malloc(*size + 1);
    if (data == NULL || fread(data, 1, *size, file) != *size) {
        fail("the file cannot be read whole");
    }
    fclose(file);
    return data;
}

static void configure(ZSTD_CCtx *context, int level, enum window window, size_t window_size) {
    checked(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
    checked(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level));
    checked(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
    if (window != WINDOW_DEFAULT) {
        checked(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, log2_ceiling(window_size)));
    }
    if (window == WINDOW_FRAME_LDM) {
        checked(ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1));
    }
}

// Independent frames of frame_size bytes of input each; returns the compressed size.
static size_t compress_frames(ZSTD_CCtx *context, const char *data, size_t size, size_t frame_size, char *output,
                              size_t capacity) {
    size_t total = 0;
    for (size_t offset = 0; offset < size; offset += frame_size) {
        size_t length = size - offset < frame_size ? size - offset : frame_size;
        total += checked(ZSTD_compress2(context, output, capacity, data + offset, length));
    }
    return total;
}

// One frame over the whole file, fed in pieces of 1 MiB as a stream would be; returns the compressed size.
static size_t compress_stream(ZSTD_CCtx *context, const char *data, size_t size, char *output, size_t capacity) {
    size_t total = 0;
    for (size_t offset = 0; offset < size; offset += MIB) {
        size_t length = size - offset < MIB ? size - offset : MIB;
        ZSTD_inBuffer input = {data + offset, length, 0};
        ZSTD_EndDirective end = offset + length == size ? ZSTD_e_end : ZSTD_e_continue;
        size_t remaining;
        do {
            ZSTD_outBuffer out = {output, capacity, 0};
            remaining = checked(ZSTD_compressStream2(context, &out, &input, end));
            total += out.pos;
        } while (input.pos < input.size || (end == ZSTD_e_end && remaining != 0));
    }
    return total;
}

static void report(const char *frame, int level, const char *window, size_t size, size_t compressed, double seconds,
                   size_t context_size) {
    printf("| %s | %d | %s | %.3f | %.0f | %.1f |\n", frame, level, window, (double)size / (double)compressed,
           (double)size / 1e6 / seconds, (double)context_size / 1e6);
    fflush(stdout);
}

static void measure(ZSTD_CCtx *context, const char *data, size_t size, size_t frame_size, int level,
                    enum window window, char *output, size_t capacity) {
    // A stream's "whole frame" window is 128 MiB, what `zstd --long` takes and every `zstd -d` accepts.
    configure(context, level, window, frame_size == 0 ? 128 * MIB : frame_size);
    double start = cpu_seconds();
    size_t compressed = frame_size == 0 ? compress_stream(context, data, size, output, capacity)
                                        : compress_frames(context, data, size, frame_size, output, capacity);
    char frame[32] = "one stream";
    if (frame_size != 0) {
        snprintf(frame, sizeof frame, "%zu MiB", frame_size / MIB);
    }
    report(frame, level, window_names[window], size, compressed, cpu_seconds() - start, ZSTD_sizeof_CCtx(context));
}

int main(int count, char **arguments) {
    static const size_t frame_mib[] = {1, 2, 4, 8, 16, 0};
    if (count < 3) {
        fail("usage: frame_size FILE LEVEL...");
    }
    size_t size;
    char *data = read_file(arguments[1], &size);
    size_t capacity = ZSTD_compressBound(16 * MIB);
    char *output = malloc(capacity);
    if (output == NULL) {
        fail("out of memory");
    }
    printf("| frame | level | window | ratio | MB/s | context MB |\n|---|---|---|---|---|---|\n");
    for (int index = 2; index < count; index++) {
        for (size_t frame = 0; frame < sizeof frame_mib / sizeof *frame_mib; frame++) {
            for (enum window window = WINDOW_DEFAULT; window <= WINDOW_FRAME_LDM; window++) {
                ZSTD_CCtx *context = ZSTD_createCCtx();
                measure(context, data, size, frame_mib[frame] * MIB, atoi(arguments[index]), window, output, capacity);
                ZSTD_freeCCtx(context);
            }
        }
    }
    free(output);
    free(data);
    return 0;
}
