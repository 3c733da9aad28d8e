#include <memory>
#include <string>
#include <utility>

#include "cgrpc_shim.h"
#include "generated/etcd.pb.h"
#include "rpc.h"
#include "snapshot_message.h"

struct cgrpc_snapshot_stream {
    cgrpc_snapshot_stream(cgrpc_channel &channel, int64_t timeout_ms, const char *token)
        : rpc(channel, "/etcdserverpb.Maintenance/Snapshot", timeout_ms, token),
          gate(channel.relay ? &channel.relay->gate() : nullptr) {}

    cgrpc::Rpc rpc;
    /// Belongs to the channel; null if the server is not held back.
    cgrpc::ReadAheadGate *gate;
    cgrpc::SnapshotMessage message;
    bool has_ended = false;
    /// Set once the stream has failed; every later read reports a copy.
    std::unique_ptr<cgrpc_error> failure;
};

namespace {

using cgrpc::Rpc;

/// Takes over what was received; false if there is no further message, at the end or after a failure.
bool accept(cgrpc_snapshot_stream &stream, Rpc::Receipt receipt, cgrpc::ByteBuffer message) {
    switch (receipt) {
        case Rpc::Receipt::stalled:
            stream.failure = stream.rpc.fail(CGRPC_ERROR_STALLED, "no message arrived in time");
            return false;
        case Rpc::Receipt::no_more:
            stream.failure = stream.rpc.finish();
            stream.has_ended = stream.failure == nullptr;
            return false;
        case Rpc::Receipt::message:
            if (stream.gate != nullptr) stream.gate->reader_got(grpc_byte_buffer_length(message.get()));
            if (stream.message.assign(std::move(message))) return true;
            stream.failure = stream.rpc.fail(CGRPC_ERROR_MALFORMED, "a message is not a SnapshotResponse");
            return false;
    }
    return false;
}

bool open(cgrpc_snapshot_stream &stream, int64_t stall_timeout_ms, cgrpc_snapshot_header &header) {
    if (stream.rpc.was_begun() || !stream.rpc.has_legal_token()) {
        const char *reason =
            stream.rpc.was_begun() ? "the stream was opened before" : "the token is no valid metadata";
        stream.failure = stream.rpc.error(CGRPC_ERROR_ARGUMENT, reason);
        return false;
    }
    cgrpc::ByteBuffer message;
    Rpc::Receipt receipt = stream.rpc.begin(etcdserverpb::SnapshotRequest(), false,
                                            cgrpc::deadline_after(stall_timeout_ms), message);
    if (!accept(stream, receipt, std::move(message))) {
        if (stream.failure == nullptr)
            stream.failure = stream.rpc.error(CGRPC_ERROR_MALFORMED, "the stream ended without a message");
        return false;
    }
    if (__builtin_add_overflow(stream.message.remaining_bytes(), stream.message.unread_bytes(),
                               &header.database_bytes)) {
        stream.failure = stream.rpc.fail(CGRPC_ERROR_MALFORMED, "the announced size is impossible");
        return false;
    }
    header.storage_version = stream.message.version().c_str();
    return true;
}

}  // namespace

cgrpc_snapshot_stream *cgrpc_snapshot_stream_create(cgrpc_channel *channel, int64_t timeout_ms, const char *token) {
    return new cgrpc_snapshot_stream(*channel, timeout_ms, token);
}

bool cgrpc_snapshot_stream_open(cgrpc_snapshot_stream *stream, int64_t stall_timeout_ms, cgrpc_snapshot_header *header,
                                cgrpc_error **error) {
    if (open(*stream, stall_timeout_ms, *header)) return true;
    *error = new cgrpc_error(*stream->failure);
    return false;
}

cgrpc_read_result cgrpc_snapshot_stream_read(cgrpc_snapshot_stream *stream, void *buffer, size_t capacity,
                                             int64_t stall_timeout_ms, size_t *count, cgrpc_error **error) {
    *count = 0;
    if (!stream->rpc.was_begun() && stream->failure == nullptr)
        stream->failure = stream->rpc.error(CGRPC_ERROR_ARGUMENT, "the stream was not opened");
    while (*count < capacity) {
        *count += stream->message.copy(static_cast<char *>(buffer) + *count, capacity - *count);
        if (*count == capacity) break;
        if (stream->has_ended) return CGRPC_READ_END;
        bool has_message = false;
        if (stream->failure == nullptr) {
            cgrpc::ByteBuffer message;
            if (stream->gate != nullptr) stream->gate->reader_waits();
            Rpc::Receipt receipt = stream->rpc.receive(cgrpc::deadline_after(stall_timeout_ms), message);
            has_message = accept(*stream, receipt, std::move(message));
        }
        if (stream->failure != nullptr) {
            *error = new cgrpc_error(*stream->failure);
            return CGRPC_READ_FAILED;
        }
        if (has_message && stream->message.unread_bytes() == 0) return CGRPC_READ_EMPTY_MESSAGE;
    }
    return CGRPC_READ_FULL;
}

void cgrpc_snapshot_stream_cancel(cgrpc_snapshot_stream *stream) { stream->rpc.cancel(); }

void cgrpc_snapshot_stream_destroy(cgrpc_snapshot_stream *stream) { delete stream; }
