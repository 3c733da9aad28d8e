/// Runs before every other constructor, in a process that may have nothing: see cstandalone.h.
#define _GNU_SOURCE
#include "cstandalone.h"

#ifdef CSTANDALONE_IS_STATIC

#include <errno.h>
#include <fcntl.h>
#include <nss.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

int cstandalone_is_static(void) { return 1; }

/// Swift's runtime (stdlib/public/stubs/CommandLine.cpp, 6.3) reads the arguments from `/proc/self/cmdline` and ends the
/// process without it, unless they were given to it here.
extern void _swift_stdlib_overrideUnsafeArgvArgc(char **argv, int argc);

/// A descriptor of these numbers that is closed would be given to the next file, and messages written into it. One of
/// O_PATH takes the place and refuses to be read and written, as the closed one did; `/` is there in any root.
static void occupy_standard_descriptors(void) {
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) (void)open("/", O_PATH | O_DIRECTORY);
    }
}

/// The C library would load modules that nsswitch.conf names, from the host, and with them the host's C library into this
/// process. Files and DNS are part of the program.
static void look_names_up_without_modules(void) {
    (void)__nss_configure_lookup("hosts", "files dns");
    static const char *const databases[] = {"passwd", "group", "services", "protocols", "networks"};
    for (unsigned index = 0; index < sizeof databases / sizeof *databases; index++) {
        (void)__nss_configure_lookup(databases[index], "files");
    }
    // All addresses of a name in /etc/hosts, whatever host.conf says; it is not read, for its mistakes are printed.
    (void)setenv("RESOLV_HOST_CONF", "", 1);
    (void)setenv("RESOLV_MULTI", "on", 1);
    // A DNS server that is gone must leave time for the next one (resolv.conf(5): 5 seconds otherwise).
    (void)setenv("RES_OPTIONS", "timeout:2 attempts:2", 0);
}

/// gRPC's settings are the program's own, and its tracing would print what passes.
static void forget_settings_of_grpc(void) {
    for (char **variable = environ; *variable != NULL;) {
        char name[64];
        size_t size = strcspn(*variable, "=");
        if (strncmp(*variable, "GRPC_", 5) == 0 && size < sizeof name) {
            memcpy(name, *variable, size);
            name[size] = 0;
            (void)unsetenv(name);  // the next one takes its place
        } else {
            variable++;
        }
    }
}

static void say(const char *text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

/// Ends the process where a call is refused for which there is no other: libdispatch would end it without a word.
static void require_call(const char *name, int descriptor) {
    if (descriptor >= 0) {
        close(descriptor);
    } else if (errno == ENOSYS || errno == EPERM || errno == EACCES) {
        say("error: the system call ");
        say(name);
        say(" is refused, and nothing can be done without it\nhint: look at the filter of system calls of this sandbox\n");
        _exit(1);
    }
}

static void require_old_calls(void) {
    require_call("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
    require_call("eventfd2", eventfd(0, EFD_CLOEXEC));
    require_call("timerfd_create", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
}

__attribute__((constructor(101))) static void start(int argc, char **argv) {
    occupy_standard_descriptors();
    require_old_calls();
    _swift_stdlib_overrideUnsafeArgvArgc(argv, argc);
    look_names_up_without_modules();
    forget_settings_of_grpc();
}

#else

int cstandalone_is_static(void) { return 0; }

#endif
