/* Starts a command in the surroundings that a trial asks for, itself needing nothing of them: it is linked statically.

   usage: launch [-r ROOT] [-x DESCRIPTOR]... [-E] [-e NAME=VALUE]... [-f ERRNO=CALL[,CALL]...] -- COMMAND [ARGUMENT]...

   -r changes the root, -x closes a descriptor, -E drops the environment, -e adds to it. -f has the kernel answer the error
   number ERRNO to system calls: NUMBER, FIRST-LAST, or NUMBER:ARGUMENT=VALUE for those with that value in an argument. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAILED 125 /* no exit code of etcd-snap */
#define MAXIMUM_INSTRUCTIONS 4000
#define MAXIMUM_VARIABLES 64

static struct sock_filter instructions[MAXIMUM_INSTRUCTIONS];
static unsigned short instruction_count;

static void fail(const char *what) {
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    exit(FAILED);
}

static void add(struct sock_filter instruction) {
    if (instruction_count == MAXIMUM_INSTRUCTIONS) fail("too many system calls");
    instructions[instruction_count++] = instruction;
}

static void load(size_t offset) { add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset)); }

static void jump(int comparison, unsigned value, int if_true, int if_false) {
    add((struct sock_filter)BPF_JUMP(BPF_JMP | comparison | BPF_K, value, if_true, if_false));
}

static void answer(unsigned action) { add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action)); }

/* The accumulator holds the system call's number before and after. */
static void refuse(const char *call, unsigned action) {
    unsigned first, last, index, value;
    if (sscanf(call, "%u:%u=%u", &first, &index, &value) == 3) {
        jump(BPF_JEQ, first, 0, 4);
        load(offsetof(struct seccomp_data, args) + 8 * index);
        jump(BPF_JEQ, value, 0, 1);
        answer(action);
        load(offsetof(struct seccomp_data, nr));
        return;
    }
    int count = sscanf(call, "%u-%u", &first, &last);
    if (count < 1) fail(call);
    if (count == 1) last = first;
    jump(BPF_JGE, first, 0, 2);
    jump(BPF_JGT, last, 1, 0);
    answer(action);
}

static void add_filter(char *specification) {
    char *calls = strchr(specification, '=');
    if (calls == NULL) fail(specification);
    unsigned action = SECCOMP_RET_ERRNO | ((unsigned)atoi(specification) & SECCOMP_RET_DATA);
    load(offsetof(struct seccomp_data, nr));
    for (char *call = strtok(calls + 1, ","); call != NULL; call = strtok(NULL, ",")) refuse(call, action);
}

static void install_filter(void) {
    answer(SECCOMP_RET_ALLOW);
    struct sock_fprog program = {instruction_count, instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) fail("seccomp");
}

int main(int count, char **arguments) {
    char *variables[MAXIMUM_VARIABLES];
    int variable_count = 0, closed = 0;
    for (int option; (option = getopt(count, arguments, "+r:x:Ee:f:")) != -1;) {
        switch (option) {
        case 'r':
            if (chroot(optarg) != 0 || chdir("/") != 0) fail(optarg);
            break;
        case 'x': closed |= 1 << atoi(optarg); break;
        case 'E': clearenv(); break;
        case 'e':
            if (variable_count == MAXIMUM_VARIABLES) fail("too many variables");
            variables[variable_count++] = optarg;
            break;
        case 'f': add_filter(optarg); break;
        default: return FAILED;
        }
    }
    if (optind == count) return FAILED;
    for (int index = 0; index < variable_count; index++) putenv(variables[index]);
    for (int descriptor = 0; descriptor < 3; descriptor++)
        if (closed & 1 << descriptor) close(descriptor);
    if (instruction_count > 0) install_filter();
    execv(arguments[optind], arguments + optind);
    fail(arguments[optind]);
}
