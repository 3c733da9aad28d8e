/// The end of a process that gets no thread or no memory, and so can't even say an error in the usual way.
#ifndef SHORTAGE_H
#define SHORTAGE_H

#include <unistd.h>

/// Says it on standard error, without allocating, and exits with status 1.
__attribute__((noreturn)) static inline void clinux_end_for_want_of_resources(void) {
    static const char message[] =
        "error: no thread can be started, or no memory be had\n"
        "hint: look at ulimit -u and -v, and at pids.max and memory.max of the control group\n";
    (void)!write(STDERR_FILENO, message, sizeof message - 1);
    _exit(1);
}

#endif
