// Drives the shim against a real etcd: cycles of create, Status, partial Snapshot, cancel and destroy, on several
// threads, then says whether memory, descriptors and threads stayed flat. scripts/check-shim runs it under the
// sanitizers and valgrind.
//
// usage: shim_driver TARGET CA CERTIFICATE KEY CYCLES THREADS [--flat]
// exit status: 0, or 1 if a call failed that should not have, or if something grew (checked with --flat)

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "cgrpc_shim.h"

namespace {

constexpr int32_t timeout_ms = 60'000;  // generous: valgrind is slow, and time must not fail a check

struct Configuration {
    std::string target, ca, certificate, key;
};

std::string contents(const char *path) {
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (text.empty()) {
        fprintf(stderr, "shim_driver: cannot read %s\n", path);
        exit(1);
    }
    return text;
}

[[noreturn]] void die(const char *what, cgrpc_error *error) {
    fprintf(stderr, "shim_driver: %s: kind %d code %d %s\n%s\n", what, cgrpc_error_get_kind(error),
            cgrpc_error_get_code(error), cgrpc_error_get_message(error), cgrpc_error_get_log(error));
    exit(1);
}

void expect(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "shim_driver: %s\n", what);
    exit(1);
}

cgrpc_channel *connected_channel(const Configuration &configuration, int32_t read_ahead_bytes = 0) {
    cgrpc_channel_options options = {};
    options.target = configuration.target.c_str();
    options.uses_tls = true;
    options.ca_pem = configuration.ca.c_str();
    options.certificate_pem = configuration.certificate.c_str();
    options.key_pem = configuration.key.c_str();
    options.server_name = "localhost";
    options.read_ahead_bytes = read_ahead_bytes;
    options.keepalive_interval_ms = 10'000;
    options.keepalive_timeout_ms = timeout_ms;
    options.max_message_bytes = 16 << 20;
    cgrpc_error *error = nullptr;
    cgrpc_channel *channel = cgrpc_channel_create(&options, &error);
    if (channel == nullptr) die("create", error);
    expect(cgrpc_channel_connect(channel, timeout_ms) == CGRPC_CONNECTED, "could not connect");
    return channel;
}

void fetch_status_and_members(cgrpc_channel *channel) {
    cgrpc_error *error = nullptr;
    cgrpc_call *call = cgrpc_call_create(channel, CGRPC_METHOD_STATUS, timeout_ms, nullptr);
    cgrpc_status_fields status;
    if (!cgrpc_call_fetch_status(call, &status, &error)) die("status", error);
    expect(strlen(status.version) > 0 && status.leader_id != 0, "the status is empty");
    expect(!cgrpc_call_fetch_status(call, &status, &error), "a call was made twice");
    cgrpc_error_destroy(error);
    cgrpc_call_destroy(call);

    call = cgrpc_call_create(channel, CGRPC_METHOD_MEMBERS, timeout_ms, nullptr);
    cgrpc_header_fields header;
    size_t count = 0;
    if (!cgrpc_call_fetch_members(call, true, &header, &count, &error)) die("members", error);
    expect(count == 1, "there should be one member");
    cgrpc_member_fields member;
    cgrpc_call_get_member(call, 0, &member);
    expect(member.client_url_count > 0 && strlen(cgrpc_call_get_member_client_url(call, 0, 0)) > 0, "no client URL");
    cgrpc_call_destroy(call);
}

void fetch_with_password_and_token(cgrpc_channel *channel) {
    cgrpc_error *error = nullptr;
    cgrpc_call *call = cgrpc_call_create(channel, CGRPC_METHOD_AUTHENTICATE, timeout_ms, nullptr);
    expect(!cgrpc_call_fetch_token(call, "nobody", "secret", 6, &error), "authentication is not enabled");
    cgrpc_error_destroy(error);
    cgrpc_call_destroy(call);

    call = cgrpc_call_create(channel, CGRPC_METHOD_HASH_KV, timeout_ms, "line\nfeed");
    cgrpc_hash_kv_fields hash;
    expect(!cgrpc_call_fetch_hash_kv(call, 0, &hash, &error), "a token with a line feed was sent");
    expect(cgrpc_error_get_kind(error) == CGRPC_ERROR_ARGUMENT, "an illegal token is an argument error");
    cgrpc_error_destroy(error);
    cgrpc_call_destroy(call);
}

void cancel_before_use(cgrpc_channel *channel) {
    cgrpc_error *error = nullptr;
    cgrpc_call *call = cgrpc_call_create(channel, CGRPC_METHOD_STATUS, timeout_ms, nullptr);
    cgrpc_call_cancel(call);
    cgrpc_status_fields status;
    expect(!cgrpc_call_fetch_status(call, &status, &error), "a cancelled call succeeded");
    expect(cgrpc_error_get_kind(error) == CGRPC_ERROR_CANCELLED, "the error should be a cancellation");
    cgrpc_error_destroy(error);
    cgrpc_call_destroy(call);
    cgrpc_call_destroy(cgrpc_call_create(channel, CGRPC_METHOD_STATUS, timeout_ms, nullptr));
}

/// Reads `wanted` bytes at most and leaves the stream as it then is.
size_t read_some(cgrpc_snapshot_stream *stream, size_t wanted, cgrpc_read_result &result) {
    std::vector<char> buffer(100'003);  // no multiple of a message
    size_t total = 0;
    result = CGRPC_READ_FULL;
    while (total < wanted && result == CGRPC_READ_FULL) {
        size_t count = 0;
        cgrpc_error *error = nullptr;
        result = cgrpc_snapshot_stream_read(stream, buffer.data(), buffer.size(), timeout_ms, &count, &error);
        cgrpc_error_destroy(error);
        total += count;
    }
    return total;
}

cgrpc_snapshot_stream *opened_stream(cgrpc_channel *channel, uint64_t &database_bytes) {
    cgrpc_error *error = nullptr;
    cgrpc_snapshot_stream *stream = cgrpc_snapshot_stream_create(channel, timeout_ms, nullptr);
    cgrpc_snapshot_header header;
    if (!cgrpc_snapshot_stream_open(stream, timeout_ms, &header, &error)) die("snapshot", error);
    database_bytes = header.database_bytes;
    return stream;
}

void read_snapshots(cgrpc_channel *channel, int cycle) {
    uint64_t database_bytes = 0;
    cgrpc_read_result result;
    cgrpc_snapshot_stream *stream = opened_stream(channel, database_bytes);
    switch (cycle % 4) {
        case 0:
            expect(read_some(stream, SIZE_MAX, result) == database_bytes + 32, "the snapshot has another length");
            expect(result == CGRPC_READ_END, "the snapshot did not end");
            break;
        case 1: read_some(stream, 200'000, result); break;
        case 2: break;
        default:
            cgrpc_snapshot_stream_cancel(stream);
            read_some(stream, SIZE_MAX, result);
            break;
    }
    cgrpc_snapshot_stream_destroy(stream);
}

void cancel_from_another_thread(cgrpc_channel *channel) {
    uint64_t database_bytes = 0;
    cgrpc_read_result result;
    cgrpc_snapshot_stream *stream = opened_stream(channel, database_bytes);
    std::thread canceller([stream] { cgrpc_snapshot_stream_cancel(stream); });
    read_some(stream, SIZE_MAX, result);
    canceller.join();
    cgrpc_snapshot_stream_destroy(stream);
}

/// A read that may take no time at all: it succeeds or stalls, and a stalled stream stays failed.
void stall(cgrpc_channel *channel) {
    uint64_t database_bytes = 0;
    cgrpc_snapshot_stream *stream = opened_stream(channel, database_bytes);
    std::vector<char> buffer(100'003);
    cgrpc_read_result result = CGRPC_READ_FULL;
    size_t count = 0;
    cgrpc_error *error = nullptr;
    while (result == CGRPC_READ_FULL)
        result = cgrpc_snapshot_stream_read(stream, buffer.data(), buffer.size(), 0, &count, &error);
    if (result == CGRPC_READ_FAILED) {
        expect(cgrpc_error_get_kind(error) == CGRPC_ERROR_STALLED, "the error should be a stall");
        cgrpc_error_destroy(error);
        error = nullptr;
        result = cgrpc_snapshot_stream_read(stream, buffer.data(), buffer.size(), 0, &count, &error);
        expect(result == CGRPC_READ_FAILED && count == 0, "a failed stream went on");
    }
    cgrpc_error_destroy(error);
    cgrpc_snapshot_stream_destroy(stream);
}

void fail_to_connect(const Configuration &configuration, int32_t read_ahead_bytes) {
    Configuration nowhere = configuration;
    nowhere.target = "ipv4:127.0.0.1:1";
    cgrpc_channel_options options = {};
    options.target = nowhere.target.c_str();
    options.max_message_bytes = 1 << 20;
    options.read_ahead_bytes = read_ahead_bytes;
    cgrpc_error *error = nullptr;
    cgrpc_channel *channel = cgrpc_channel_create(&options, &error);
    if (channel == nullptr) die("create", error);
    expect(cgrpc_channel_connect(channel, timeout_ms) == CGRPC_UNREACHABLE, "port 1 should be unreachable");
    cgrpc_call *call = cgrpc_call_create(channel, CGRPC_METHOD_STATUS, timeout_ms, nullptr);
    cgrpc_status_fields status;
    expect(!cgrpc_call_fetch_status(call, &status, &error), "port 1 answered");
    expect(strlen(cgrpc_error_get_message(error)) > 0, "the error has no message");
    cgrpc_error_destroy(error);
    cgrpc_call_destroy(call);
    cgrpc_channel_destroy(channel);

    options.uses_tls = true;
    options.ca_pem = "no certificate";
    channel = cgrpc_channel_create(&options, &error);
    if (channel == nullptr) {
        cgrpc_error_destroy(error);
    } else {
        cgrpc_channel_connect(channel, timeout_ms);
        cgrpc_channel_destroy(channel);
    }
}

/// Snapshots whose server is held back early, each over a channel of its own.
void read_held_back(const Configuration &configuration, int cycle) {
    for (int index = 0; index < 2; ++index) {
        cgrpc_channel *channel = connected_channel(configuration, 256 << 10);
        if (index == 0) {
            read_snapshots(channel, cycle);
        } else {
            cancel_from_another_thread(channel);
        }
        cgrpc_channel_destroy(channel);
    }
}

void run_cycle(const Configuration &configuration, int cycle) {
    cgrpc_channel *channel = connected_channel(configuration);
    fetch_status_and_members(channel);
    cancel_before_use(channel);
    read_snapshots(channel, cycle);
    cancel_from_another_thread(channel);
    read_held_back(configuration, cycle);
    if (cycle % 8 == 0) {
        fetch_with_password_and_token(channel);
        stall(channel);
        fail_to_connect(configuration, cycle % 16 == 0 ? 1 << 20 : 0);
    }
    cgrpc_channel_destroy(channel);
}

/// All threads on one channel at once.
void share_a_channel(const Configuration &configuration, int thread_count) {
    cgrpc_channel *channel = connected_channel(configuration);
    std::vector<std::thread> threads;
    for (int index = 0; index < thread_count; ++index) {
        threads.emplace_back([channel, index] {
            fetch_status_and_members(channel);
            read_snapshots(channel, index);
            cancel_from_another_thread(channel);
        });
    }
    for (std::thread &thread : threads) thread.join();
    cgrpc_channel_destroy(channel);
}

void run_cycles(const Configuration &configuration, int cycle_count, int thread_count) {
    std::atomic<int> next_cycle{0};
    std::vector<std::thread> threads;
    for (int index = 0; index < thread_count; ++index) {
        threads.emplace_back([&] {
            for (int cycle = next_cycle++; cycle < cycle_count; cycle = next_cycle++) run_cycle(configuration, cycle);
        });
    }
    for (std::thread &thread : threads) thread.join();
    share_a_channel(configuration, thread_count * 2);
}

long entry_count(const char *path) {
    DIR *directory = opendir(path);
    long count = 0;
    while (readdir(directory) != nullptr) count += 1;
    closedir(directory);
    return count;
}

long resident_bytes() {
    std::ifstream file("/proc/self/statm");
    long pages_virtual = 0, pages_resident = 0;
    file >> pages_virtual >> pages_resident;
    return pages_resident * sysconf(_SC_PAGESIZE);
}

/// What is allocated now, of the heap's arenas and of mappings of its own. How much of the rest stays resident depends
/// on the number of arenas, thus of threads, that a busy machine came to have.
long allocated_bytes() {
    struct mallinfo2 info = mallinfo2();
    return static_cast<long>(info.uordblks + info.hblkhd);
}

struct Usage {
    long allocated = allocated_bytes();
    long resident = resident_bytes();
    long descriptors = entry_count("/proc/self/fd");
    long threads = entry_count("/proc/self/task");

    void print(const char *when) const {
        printf("%s: %ld KiB allocated, %ld KiB resident, %ld descriptors, %ld threads\n", when, allocated / 1024,
               resident / 1024, descriptors, threads);
    }
};

}  // namespace

int main(int argc, char **argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: shim_driver TARGET CA CERTIFICATE KEY CYCLES THREADS [--flat]\n");
        return 2;
    }
    Configuration configuration = {argv[1], contents(argv[2]), contents(argv[3]), contents(argv[4])};
    int cycle_count = atoi(argv[5]), thread_count = atoi(argv[6]);
    run_cycles(configuration, cycle_count / 3, thread_count);
    Usage before;
    before.print("after a third of the cycles");
    run_cycles(configuration, cycle_count - cycle_count / 3, thread_count);
    Usage after;
    after.print("after all cycles");
    if (argc > 7 && strcmp(argv[7], "--flat") == 0) {
        expect(after.descriptors <= before.descriptors + 2, "descriptors leaked");
        // gRPC's pool has some more threads on a busy machine; a leak has one or more a cycle.
        int later_cycle_count = cycle_count - cycle_count / 3;
        expect(after.threads <= before.threads + 2 + later_cycle_count / 4, "threads leaked");
        // An etcd message has 32 KiB: one in 8 cycles left behind would show.
        expect(after.allocated <= before.allocated + later_cycle_count * (4L << 10), "memory leaked");
    }
    return 0;
}
