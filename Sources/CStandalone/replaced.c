/// Functions of the C library and of Swift's runtime that a program on a foreign host must not have: see cstandalone.h.
///
/// A definition here goes before that in an archive, whose object is then not linked at all.
#ifdef CSTANDALONE_IS_STATIC

#define _GNU_SOURCE
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <shortage.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#pragma clang diagnostic ignored "-Wmissing-prototypes"

// Code of the host is never loaded. What is in a shared library there was made for that host's C library, which would come
// along, beside ours and of another version. glibc 2.36: elf/dl-libc.c, which its name service and iconv use, and dlfcn.

static char load_error[] = "this program loads no shared libraries";

void *__libc_dlopen_mode(const char *name, int mode) {
    (void)name;
    (void)mode;
    return NULL;
}

void *__libc_dlsym(void *map, const char *name) {
    (void)map;
    (void)name;
    return NULL;
}

void *__libc_dlvsym(void *map, const char *name, const char *version) {
    (void)map;
    (void)name;
    (void)version;
    return NULL;
}

int __libc_dlclose(void *map) {
    (void)map;
    return 0;
}

void *dlopen(const char *name, int mode) {
    (void)name;
    (void)mode;
    return NULL;
}

void *dlsym(void *map, const char *name) {
    (void)map;
    (void)name;
    return NULL;
}

int dlclose(void *map) {
    (void)map;
    return 0;
}

char *dlerror(void) { return load_error; }

/// clone3(2) came with Linux 5.3, and sandboxes refuse it with EPERM, after which glibc 2.36 (clone-internal.c) gives up.
/// After ENOSYS it calls clone(2), which does for threads all that is needed.
int __clone3(void *arguments, size_t size, int (*function)(void *), void *argument) {
    (void)arguments;
    (void)size;
    (void)function;
    (void)argument;
    errno = ENOSYS;
    return -1;
}

/// libcrypto asks for its seeds here and, where that is refused with anything but ENOSYS, nowhere else (3.0,
/// providers/implementations/rands/seeding/rand_unix.c).
int getentropy(void *buffer, size_t size) {
    char *rest = buffer;
    while (size > 0) {
        ssize_t count = getrandom(rest, size, 0);
        if (count < 0 && errno != EINTR) break;
        if (count > 0) rest += count, size -= (size_t)count;
    }
    if (size == 0) return 0;
    int descriptor = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    while (descriptor >= 0 && size > 0) {
        ssize_t count = read(descriptor, rest, size);
        if (count == 0 || (count < 0 && errno != EINTR)) break;
        if (count > 0) rest += count, size -= (size_t)count;
    }
    if (descriptor >= 0) close(descriptor);
    if (size == 0) return 0;
    errno = EIO;
    return -1;
}

// libdispatch watches how many of its threads run, by /proc/PID/stat, and ends the process where that can't be opened, for
// want of /proc or of a free descriptor (src/event/workqueue.c, Swift 6.3). It starts further threads for those that are
// blocked; ours that may block are not among those that it counts.

void _dispatch_workq_worker_register(void *root_queue) { (void)root_queue; }

void _dispatch_workq_worker_unregister(void *root_queue) { (void)root_queue; }

static long seconds_now(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/// libdispatch, and nothing else that runs here, sleeps for a second when it gets no thread or no memory, and tries again
/// for ever (src/init.c, `_dispatch_temporary_resource_shortage`). After a while it is no longer temporary.
unsigned sleep(unsigned seconds) {
    enum { patience_seconds = 8, gap_seconds = 3 };
    static _Atomic long first = 0, last = 0;
    static atomic_flag is_told = ATOMIC_FLAG_INIT;
    long now = seconds_now();
    if (now - last > gap_seconds) first = now;
    last = now;
    if (now - first >= patience_seconds) {
        if (atomic_flag_test_and_set(&is_told)) pause();  // another thread ends the process
        clinux_end_for_want_of_resources();
    }
    struct timespec time = {seconds, 0};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
    return 0;
}

// Swift's runtime (stdlib/public/runtime/Paths.cpp, 6.3) looks for a program that prints crashes beside its own library,
// through /proc/self/exe, and ends the process without that. There is no such program beside this one.

char *swift_copyAuxiliaryExecutablePath(const char *name) {
    (void)name;
    return NULL;
}

const char *swift_getRuntimeLibraryPath(void) { return NULL; }

const char *swift_getRootPath(void) { return NULL; }

/// The one function of libarchive 3.6's archive_write_set_format.c that its pax writer calls, when an entry is of a kind
/// that pax has not. The rest of that object knows every format by name: ISO 9660, 7-Zip, xar with its XML parser, zip with
/// its ciphers.
void __archive_write_entry_filetype_unsupported(
    struct archive *archive, struct archive_entry *entry, const char *format) {
    archive_set_error(
        archive, EILSEQ, "%s has no entries of the file type %o", format,
        (unsigned)archive_entry_filetype(entry));
}

#endif
