#define _GNU_SOURCE
#include "clinux.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

int clinux_rename_exclusive(int source_directory, const char *source, int target_directory, const char *target) {
    return renameat2(source_directory, source, target_directory, target, RENAME_NOREPLACE);
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
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return -1;
    struct sched_param none = {0};
    int result = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);
        if (task <= 0 || sched_getscheduler(task) != SCHED_OTHER) continue;
        if (sched_setscheduler(task, SCHED_BATCH, &none) != 0) result = -1;
    }
    closedir(tasks);
    return result;
}

int clinux_sync_file_system(int descriptor) { return syncfs(descriptor); }

int clinux_file_system_space(int descriptor, uint64_t *available_bytes, uint64_t *total_bytes) {
    struct statvfs space;
    int result = fstatvfs(descriptor, &space);
    if (result == 0) {
        *available_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        *total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    }
    return result;
}

void clinux_return_freed_blocks(int threshold, int arena_count) {
    (void)mallopt(M_MMAP_THRESHOLD, threshold);
    (void)mallopt(M_TRIM_THRESHOLD, 8 * threshold);
    (void)mallopt(M_ARENA_MAX, arena_count);
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

long clinux_list_attributes(const char *path, char *names, size_t size) { return llistxattr(path, names, size); }

long clinux_get_attribute(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

long clinux_list_open_attributes(int descriptor, char *names, size_t size) { return flistxattr(descriptor, names, size); }

long clinux_get_open_attribute(int descriptor, const char *name, void *value, size_t size) {
    return fgetxattr(descriptor, name, value, size);
}

int clinux_set_attribute(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}

int clinux_remove_open_attribute(int descriptor, const char *name) { return fremovexattr(descriptor, name); }

int clinux_set_open_attribute(int descriptor, const char *name, const void *value, size_t size) {
    return fsetxattr(descriptor, name, value, size, 0);
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
