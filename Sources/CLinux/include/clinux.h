/// Linux calls that need `_GNU_SOURCE` or that Swift's C library module leaves out.
///
/// Every function returns what the call returns and sets `errno`; none keeps or frees an argument.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// rename(2) that fails with EEXIST when the target exists (`renameat2` with `RENAME_NOREPLACE`).
/// Where the kernel or the file system can't do that a file gets its second name before it loses the first; a directory,
/// and a file where there are no hard links, is renamed after a look, which another process may make untrue meanwhile.
int clinux_rename_exclusive(int source_directory, const char *source, int target_directory, const char *target);

/// Whether an open directory is the root of a mount (statx(2), `STATX_ATTR_MOUNT_ROOT`, or before Linux 5.8 whether it is on
/// another device than the directory above, which overlooks a bind mount of the same device). Returns 1, 0, or -1.
int clinux_is_mount_root(int directory);

enum { CLINUX_IMMUTABLE = 1, CLINUX_APPEND_ONLY = 2, CLINUX_MOUNT_ROOT = 4 };

/// What keeps an entry of a directory, or with an empty name the directory itself, from being changed, whoever asks: flags of
/// above (statx(2), `stx_attributes`). Before Linux 5.8 a mount of the same device is overlooked, and where the file system
/// does not tell its attributes, or the call is refused, these are.
int clinux_restrictions(int directory, const char *name);

/// Asks the kernel to start writing back `count` bytes at `offset`, without waiting (`sync_file_range`).
/// A hint: file systems that can't do it are not an error.
void clinux_start_writeback(int descriptor, int64_t offset, int64_t count);

/// Turns O_DIRECT on or off for an open file (fcntl(2), F_SETFL).
/// Returns 1 after a change, 0 if it was so already, -1 where the file system can't.
int clinux_set_direct(int descriptor, int is_on);

/// Puts the threads of this process that are under no other policy, and those that they start, under SCHED_BATCH
/// (sched(7)): they don't preempt others that wake up. Returns -1 if that was refused for a thread.
int clinux_schedule_as_batch(void);

/// Waits until everything written to the file system of `descriptor` is durable (`syncfs`).
int clinux_sync_file_system(int descriptor);

/// The bytes that this user may still write to the file system of `descriptor`, and its size in bytes; both UINT64_MAX for
/// ramfs, which does not count them.
int clinux_file_system_space(int descriptor, uint64_t *available_bytes, uint64_t *total_bytes);

/// Whether the file system of `descriptor` keeps its files in memory alone (statfs(2), tmpfs and ramfs).
int clinux_is_in_memory(int descriptor);

/// A new empty file without a name, in memory, closed by exec (`memfd_create`); -1 where there is none.
int clinux_memory_file(const char *name);

/// A new pipe, the end to read from first, both closed by exec (`pipe2` with `O_CLOEXEC`): set a moment later, a program that
/// another thread starts in between would hold them open.
int clinux_pipe(int *ends);

/// A program that is to run beside this process and not to outlive it.
struct clinux_program {
    const char *path;
    char *_Nullable const *_Nonnull arguments;
    char *_Nullable const *_Nonnull environment;
    /// The directory that it runs in.
    const char *directory;
    /// What it writes its output and its errors to; it reads nothing.
    int output;
};

/// Starts a program in a process group of its own. The kernel kills it when the thread that called this ends, and so with
/// the process, whatever ends that (prctl(2), `PR_SET_PDEATHSIG`). Returns its process ID, or -1.
int clinux_spawn_tied(const struct clinux_program *program);

/// Fixes the size in bytes from which on malloc(3) takes a block from the system and gives it back when it is freed;
/// glibc would raise it with each large block. Few arenas keep what threads free from lying around in many places.
/// A heap shrinks once this many bytes are free at its end, not with every free.
void clinux_return_freed_blocks(int threshold, int arena_count);

/// Raises the soft limit of open files towards the hard one, up to 1024 (getrlimit(2), `RLIMIT_NOFILE`).
/// Returns the limit that holds now, -1 if it can't be told.
long clinux_raise_open_file_limit(void);

/// Raises the soft limit of address space to the hard one (getrlimit(2), `RLIMIT_AS`).
/// Returns the limit that holds now, in bytes, UINT64_MAX if there is none or it can't be told.
uint64_t clinux_raise_address_space_limit(void);

/// Takes the pages of program code, of libraries too, out of this process' memory: they come back from the page cache
/// as they are needed. What only the start needed then counts for nobody.
void clinux_release_code(void);

/// Leaves memory out of core dumps (madvise(2), `MADV_DONTDUMP`): the whole pages of it.
void clinux_exclude_from_dumps(void *_Nullable start, size_t size);
/// Takes it back (`MADV_DODUMP`).
void clinux_include_in_dumps(void *_Nullable start, size_t size);

/// Lets no other process of this user read this one's memory, and the kernel write no core of it (prctl(2),
/// `PR_SET_DUMPABLE` 0).
int clinux_close_memory(void);

/// llistxattr(2): the names of the extended attributes of an entry of an open directory, itself and not what it points to,
/// each ended by a zero byte. Returns their size in bytes; with `size` 0 nothing is written.
/// These and the next fail with EOPNOTSUPP where there are no attributes, for want of the system call too.
long clinux_list_attributes_at(int directory, const char *entry, char *_Nullable names, size_t size);

/// lgetxattr(2): the value of an extended attribute of such an entry.
/// Returns its size in bytes; with `size` 0 nothing is written.
long clinux_get_attribute_at(int directory, const char *entry, const char *name, void *_Nullable value, size_t size);

/// lsetxattr(2): creates or replaces an extended attribute of such an entry.
int clinux_set_attribute_at(int directory, const char *entry, const char *name, const void *_Nullable value, size_t size);

/// flistxattr(2) and fgetxattr(2): the same of an open file.
long clinux_list_open_attributes(int descriptor, char *_Nullable names, size_t size);
long clinux_get_open_attribute(int descriptor, const char *name, void *_Nullable value, size_t size);

/// fremovexattr(2): removes an extended attribute of an open file.
int clinux_remove_open_attribute(int descriptor, const char *name);

/// fsetxattr(2): the same of an open file.
int clinux_set_open_attribute(int descriptor, const char *name, const void *_Nullable value, size_t size);

/// Takes or drops a shared lock on a range of bytes that belongs to the open file, without waiting (`F_OFD_SETLK`,
/// fcntl(2)); it conflicts with the locks of other processes.
int clinux_lock_range(int descriptor, int64_t start, int64_t length, int is_locked);

#pragma clang assume_nonnull end

#endif
