#define _GNU_SOURCE
#include "clinux.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

int clinux_rename_exclusive(int source_directory, const char *source, int target_directory, const char *target) {
    return renameat2(source_directory, source, target_directory, target, RENAME_NOREPLACE);
}

void clinux_start_writeback(int descriptor, int64_t offset, int64_t count) {
    (void)sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
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
    (void)mallopt(M_ARENA_MAX, arena_count);
}

long clinux_list_attributes(const char *path, char *names, size_t size) { return llistxattr(path, names, size); }

long clinux_get_attribute(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

int clinux_set_attribute(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}
