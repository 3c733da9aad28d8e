#define _GNU_SOURCE
#include "clinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/magic.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/// Without renameat2: a second name fails if there is one, for anything but a directory.
static int link_and_unlink(int source_directory, const char *source, int target_directory, const char *target) {
    if (linkat(source_directory, source, target_directory, target, 0) != 0) return -1;
    if (unlinkat(source_directory, source, 0) == 0) return 0;
    int error = errno;
    (void)unlinkat(target_directory, target, 0);
    errno = error;
    return -1;
}

int clinux_rename_exclusive(int source_directory, const char *source, int target_directory, const char *target) {
    if (renameat2(source_directory, source, target_directory, target, RENAME_NOREPLACE) == 0) return 0;
    // Old kernels, file systems that know no flags, and sandboxes that refuse what they don't know.
    if (errno != ENOSYS && errno != EINVAL && errno != EPERM && errno != EOPNOTSUPP) return -1;
    if (link_and_unlink(source_directory, source, target_directory, target) == 0) return 0;
    // A directory, or a file system without hard links: rename(2) replaces no directory that has anything in it.
    // EACCES: what confines the process may know links and no second names. EXDEV: quotas of trees that differ.
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP && errno != EMLINK && errno != EACCES && errno != EXDEV &&
        errno != EINVAL) {
        return -1;
    }
    struct stat status;
    if (fstatat(target_directory, target, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    if (errno != ENOENT) return -1;
    return renameat(source_directory, source, target_directory, target);
}

int clinux_is_mount_root(int directory) {
    struct statx status;
    if (statx(directory, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status) == 0 &&
        (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
        return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    }
    struct stat here, above;
    if (fstat(directory, &here) != 0 || fstatat(directory, "..", &above, 0) != 0) return -1;
    return here.st_dev != above.st_dev || here.st_ino == above.st_ino;
}

int clinux_restrictions(int directory, const char *name) {
    struct statx status;
    int found = 0;
    int knows_mounts = 0;
    if (statx(directory, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) == 0) {
        if (status.stx_attributes & STATX_ATTR_IMMUTABLE) found |= CLINUX_IMMUTABLE;
        if (status.stx_attributes & STATX_ATTR_APPEND) found |= CLINUX_APPEND_ONLY;
        if (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) found |= CLINUX_MOUNT_ROOT;
        knows_mounts = (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
    }
    struct stat above, entry;
    if (!knows_mounts && name[0] != 0 && fstat(directory, &above) == 0 &&
        fstatat(directory, name, &entry, AT_SYMLINK_NOFOLLOW) == 0 && above.st_dev != entry.st_dev) {
        found |= CLINUX_MOUNT_ROOT;
    }
    return found;
}

void clinux_start_writeback(int descriptor, int64_t offset, int64_t count) {
    (void)sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}

int clinux_set_direct(int descriptor, int is_on) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -1;
    if (((flags & O_DIRECT) != 0) == (is_on != 0)) return 0;
    return fcntl(descriptor, F_SETFL, flags ^ O_DIRECT) == 0 ? 1 : -1;
}

/// Stands before the C library's function, which libdispatch calls for each of its threads: by their quality of service it
/// gives them nice values of -4 to 0, which takes back what nice(1) or a unit's Nice= has given, or fails and says so.
int setpriority(__priority_which_t which, id_t who, int value) {
    (void)which;
    (void)who;
    (void)value;
    return 0;
}

int clinux_schedule_as_batch(void) {
    struct sched_param none = {0};
    DIR *tasks = opendir("/proc/self/task");
    // Without /proc this thread and those that it starts.
    if (tasks == NULL) return sched_setscheduler(0, SCHED_BATCH, &none);
    int result = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);
        if (task <= 0 || sched_getscheduler(task) != SCHED_OTHER) continue;
        if (sched_setscheduler(task, SCHED_BATCH, &none) != 0) result = -1;
    }
    closedir(tasks);
    return result;
}

int clinux_sync_file_system(int descriptor) {
    int result = syncfs(descriptor);
    if (result == 0 || (errno != ENOSYS && errno != EPERM)) return result;
    sync();  // all of them, this one among them
    return 0;
}

int clinux_file_system_space(int descriptor, uint64_t *available_bytes, uint64_t *total_bytes) {
    struct statvfs space;
    int result = fstatvfs(descriptor, &space);
    if (result == 0) {
        // ramfs counts no blocks: it has what the memory has, and not nothing, as /proc has.
        struct statfs kind;
        int is_known = space.f_blocks > 0 || fstatfs(descriptor, &kind) != 0 || kind.f_type != RAMFS_MAGIC;
        *available_bytes = is_known ? (uint64_t)space.f_bavail * space.f_frsize : UINT64_MAX;
        *total_bytes = is_known ? (uint64_t)space.f_blocks * space.f_frsize : UINT64_MAX;
    }
    return result;
}

int clinux_is_in_memory(int descriptor) {
    struct statfs kind;
    return fstatfs(descriptor, &kind) == 0 && (kind.f_type == TMPFS_MAGIC || kind.f_type == RAMFS_MAGIC);
}

int clinux_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int clinux_pipe(int *ends) { return pipe2(ends, O_CLOEXEC); }

/// In the child between fork and exec, where other threads may have held any lock: only system calls.
static void run_tied(const struct clinux_program *program, pid_t parent, int report) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) (void)signal(number, SIG_DFL);
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && chdir(program->directory) == 0) {
        // It may have ended before that.
        if (getppid() != parent) _exit(127);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null >= 0 && dup2(null, 0) >= 0 && dup2(program->output, 1) >= 0 && dup2(program->output, 2) >= 0) {
#ifdef SYS_close_range
            // CLOSE_RANGE_CLOEXEC: what a library has left open; before Linux 5.11 that is nothing of ours.
            (void)syscall(SYS_close_range, 3U, ~0U, 4U);
#endif
            (void)sigprocmask(SIG_SETMASK, &none, NULL);
            (void)execve(program->path, program->arguments, program->environment);
        }
    }
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
}

int clinux_spawn_tied(const struct clinux_program *program) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -1;
    // No handler of this process may run in the child.
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) run_tied(program, parent, report[1]);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (child > 0) {
        ssize_t count;
        while ((count = read(report[0], &error, sizeof error)) < 0 && errno == EINTR) {}
        if (count > 0) {
            while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
            child = -1;
        }
    }
    close(report[0]);
    errno = error;
    return child;
}

void clinux_return_freed_blocks(int threshold, int arena_count) {
    (void)mallopt(M_MMAP_THRESHOLD, threshold);
    (void)mallopt(M_TRIM_THRESHOLD, 8 * threshold);
    (void)mallopt(M_ARENA_MAX, arena_count);
}

long clinux_raise_open_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        // select(2) knows descriptors below 1024; nothing here uses it, but a program that is started might.
        if (raised.rlim_cur == RLIM_INFINITY || raised.rlim_cur > 1024) raised.rlim_cur = 1024;
        if (raised.rlim_cur > limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur == RLIM_INFINITY ? LONG_MAX : (long)limit.rlim_cur;
}

uint64_t clinux_raise_address_space_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_AS, &raised) == 0) limit = raised;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

static int release_code(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[index];
        // Only what can't have been written to: relocations would be lost.
        if (header->p_type != PT_LOAD || (header->p_flags & (PF_X | PF_W)) != PF_X) continue;
        uintptr_t start = (info->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t end = info->dlpi_addr + header->p_vaddr + header->p_filesz;
        (void)madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void clinux_release_code(void) { (void)dl_iterate_phdr(release_code, NULL); }

/// Where the kernel or a sandbox has no attributes there are none.
static long without_attributes(long result) {
    if (result < 0 && errno == ENOSYS) errno = EOPNOTSUPP;
    return result;
}

/// A call on an entry of a directory; the kernel's calls know only paths (before Linux 6.13).
struct attribute_call {
    enum { LIST, GET, SET } kind;
    int directory;
    const char *entry;
    const char *attribute;
    void *value;
    size_t size;
    long result;
    int error;
};

static void perform(struct attribute_call *call, const char *path) {
    switch (call->kind) {
    case LIST: call->result = llistxattr(path, call->value, call->size); break;
    case GET: call->result = lgetxattr(path, call->attribute, call->value, call->size); break;
    case SET: call->result = lsetxattr(path, call->attribute, call->value, call->size, 0); break;
    }
    call->error = errno;
}

static void *perform_in_directory(void *argument) {
    struct attribute_call *call = argument;
    // A working directory of this thread's own.
    if (unshare(CLONE_FS) != 0 || fchdir(call->directory) != 0) {
        call->result = -1;
        call->error = errno;
    } else {
        perform(call, call->entry);
    }
    return NULL;
}

/// Through `/proc` a path reaches the entry of an open directory; where that is not mounted a thread goes there.
static long perform_at(struct attribute_call *call) {
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "/proc/self/fd/%d/%s", call->directory, call->entry);
    if (size >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    perform(call, path);
    if (call->result < 0 && call->error == ENOENT) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, perform_in_directory, call);
        if (error == 0) {
            (void)pthread_join(thread, NULL);
        } else {
            call->error = error;
        }
    }
    errno = call->error;
    return without_attributes(call->result);
}

long clinux_list_attributes_at(int directory, const char *entry, char *names, size_t size) {
    struct attribute_call call = {.kind = LIST, .directory = directory, .entry = entry, .value = names, .size = size};
    return perform_at(&call);
}

long clinux_get_attribute_at(int directory, const char *entry, const char *name, void *value, size_t size) {
    struct attribute_call call = {
        .kind = GET, .directory = directory, .entry = entry, .attribute = name, .value = value, .size = size};
    return perform_at(&call);
}

int clinux_set_attribute_at(int directory, const char *entry, const char *name, const void *value, size_t size) {
    struct attribute_call call = {
        .kind = SET, .directory = directory, .entry = entry, .attribute = name, .value = (void *)value, .size = size};
    return (int)perform_at(&call);
}

long clinux_list_open_attributes(int descriptor, char *names, size_t size) {
    return without_attributes(flistxattr(descriptor, names, size));
}

long clinux_get_open_attribute(int descriptor, const char *name, void *value, size_t size) {
    return without_attributes(fgetxattr(descriptor, name, value, size));
}

int clinux_remove_open_attribute(int descriptor, const char *name) {
    return (int)without_attributes(fremovexattr(descriptor, name));
}

int clinux_set_open_attribute(int descriptor, const char *name, const void *value, size_t size) {
    return (int)without_attributes(fsetxattr(descriptor, name, value, size, 0));
}

int clinux_lock_range(int descriptor, int64_t start, int64_t length, int is_locked) {
    struct flock lock = {0};
    lock.l_type = is_locked ? F_RDLCK : F_UNLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(descriptor, F_OFD_SETLK, &lock);
}

static void advise_whole_pages(void *start, size_t size, int advice) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)start + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)start + size) / page * page;
    if (start != NULL && end > first) madvise((void *)first, end - first, advice);
}

void clinux_exclude_from_dumps(void *start, size_t size) { advise_whole_pages(start, size, MADV_DONTDUMP); }

void clinux_include_in_dumps(void *start, size_t size) { advise_whole_pages(start, size, MADV_DODUMP); }

int clinux_close_memory(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
