#include "rpc.h"

#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>

#include <utility>

namespace cgrpc {
namespace {

std::string string_from(grpc_slice slice) {
    return std::string(reinterpret_cast<const char *>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice));
}

/// A request's serialized bytes, shared with gRPC so that they can be wiped after they were sent.
class SerializedRequest {
   public:
    SerializedRequest(const google::protobuf::MessageLite &request, bool is_secret)
        // A "large" slice is never copied into the slice structure itself, where wiping wouldn't reach every copy.
        : slice_(grpc_slice_malloc_large(request.ByteSizeLong())), is_secret_(is_secret) {
        request.SerializeToArray(GRPC_SLICE_START_PTR(slice_), static_cast<int>(GRPC_SLICE_LENGTH(slice_)));
        buffer_.reset(grpc_raw_byte_buffer_create(&slice_, 1));
    }
    ~SerializedRequest() {
        if (is_secret_) explicit_bzero(GRPC_SLICE_START_PTR(slice_), GRPC_SLICE_LENGTH(slice_));
        grpc_slice_unref(slice_);
    }
    SerializedRequest(const SerializedRequest &) = delete;
    SerializedRequest &operator=(const SerializedRequest &) = delete;
    grpc_byte_buffer *buffer() { return buffer_.get(); }

   private:
    grpc_slice slice_;
    bool is_secret_;
    ByteBuffer buffer_;
};

grpc_op operation(grpc_op_type type) {
    grpc_op result;
    memset(&result, 0, sizeof result);
    result.op = type;
    return result;
}

}  // namespace

gpr_timespec deadline_after(int64_t timeout_ms) {
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

Rpc::Rpc(cgrpc_channel &channel, const char *path, int64_t timeout_ms, const char *token) : channel_(channel) {
    if (token != nullptr) token_ = token;
    queue_ = grpc_completion_queue_create_for_pluck(nullptr);
    call_ = grpc_channel_create_call(channel.channel, nullptr, GRPC_PROPAGATE_DEFAULTS, queue_,
                                     grpc_slice_from_static_string(path), nullptr, deadline_after(timeout_ms), nullptr);
}

Rpc::~Rpc() {
    if (was_begun_ && !is_finished_) {
        grpc_call_cancel(call_, nullptr);
        finish();
    }
    grpc_call_unref(call_);
    grpc_completion_queue_shutdown(queue_);
    grpc_completion_queue_destroy(queue_);
}

void Rpc::cancel() {
    was_cancelled_ = true;
    grpc_call_cancel(call_, nullptr);
}

bool Rpc::has_legal_token() const {
    if (!token_) return true;
    return grpc_header_nonbin_value_is_legal(grpc_slice_from_static_buffer(token_->data(), token_->size())) != 0;
}

/// Runs a batch to its end; false if that took until the deadline, when the call is cancelled.
bool Rpc::run(const grpc_op *operations, size_t count, gpr_timespec stall_deadline) {
    grpc_call_error refusal = grpc_call_start_batch(call_, operations, count, this, nullptr);
    // Refused are only batches that don't fit the state of the call, which this class rules out.
    if (refusal != GRPC_CALL_OK) abort();
    if (grpc_completion_queue_pluck(queue_, this, stall_deadline, nullptr).type == GRPC_OP_COMPLETE) return true;
    grpc_call_cancel(call_, nullptr);
    grpc_completion_queue_pluck(queue_, this, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
    return false;
}

Rpc::Receipt Rpc::begin(const google::protobuf::MessageLite &request, bool is_secret, gpr_timespec stall_deadline,
                        ByteBuffer &message) {
    was_begun_ = true;
    SerializedRequest serialized(request, is_secret);
    grpc_metadata token_metadata;
    memset(&token_metadata, 0, sizeof token_metadata);
    grpc_metadata_array server_metadata;
    grpc_metadata_array_init(&server_metadata);
    grpc_byte_buffer *received = nullptr;

    grpc_op operations[] = {
        operation(GRPC_OP_SEND_INITIAL_METADATA), operation(GRPC_OP_SEND_MESSAGE),
        operation(GRPC_OP_SEND_CLOSE_FROM_CLIENT), operation(GRPC_OP_RECV_INITIAL_METADATA),
        operation(GRPC_OP_RECV_MESSAGE),
    };
    if (token_) {
        token_metadata.key = grpc_slice_from_static_string("token");
        token_metadata.value = grpc_slice_from_copied_buffer(token_->data(), token_->size());
        operations[0].data.send_initial_metadata.count = 1;
        operations[0].data.send_initial_metadata.metadata = &token_metadata;
    }
    operations[1].data.send_message.send_message = serialized.buffer();
    operations[3].data.recv_initial_metadata.recv_initial_metadata = &server_metadata;
    operations[4].data.recv_message.recv_message = &received;

    bool is_in_time = run(operations, sizeof operations / sizeof operations[0], stall_deadline);
    if (token_) grpc_slice_unref(token_metadata.value);
    grpc_metadata_array_destroy(&server_metadata);
    message.reset(received);
    if (!is_in_time) return Receipt::stalled;
    return received != nullptr ? Receipt::message : Receipt::no_more;
}

Rpc::Receipt Rpc::receive(gpr_timespec stall_deadline, ByteBuffer &message) {
    message.reset();
    grpc_byte_buffer *received = nullptr;
    grpc_op receive = operation(GRPC_OP_RECV_MESSAGE);
    receive.data.recv_message.recv_message = &received;
    bool is_in_time = run(&receive, 1, stall_deadline);
    message.reset(received);
    if (!is_in_time) return Receipt::stalled;
    return received != nullptr ? Receipt::message : Receipt::no_more;
}

std::unique_ptr<cgrpc_error> Rpc::finish() {
    is_finished_ = true;
    grpc_metadata_array trailers;
    grpc_metadata_array_init(&trailers);
    grpc_status_code code = GRPC_STATUS_UNKNOWN;
    grpc_slice details = grpc_empty_slice();
    grpc_op receive = operation(GRPC_OP_RECV_STATUS_ON_CLIENT);
    receive.data.recv_status_on_client.trailing_metadata = &trailers;
    receive.data.recv_status_on_client.status = &code;
    receive.data.recv_status_on_client.status_details = &details;
    run(&receive, 1, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    std::string message = string_from(details);
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&trailers);
    return code == GRPC_STATUS_OK ? nullptr : status_error(code, std::move(message));
}

std::unique_ptr<cgrpc_error> Rpc::fail(cgrpc_error_kind kind, std::string message) {
    grpc_call_cancel(call_, nullptr);
    finish();
    return error(kind, std::move(message));
}

std::unique_ptr<cgrpc_error> Rpc::status_error(grpc_status_code code, std::string message) const {
    cgrpc_error_kind kind = CGRPC_ERROR_STATUS;
    if (code == GRPC_STATUS_CANCELLED && was_cancelled_) kind = CGRPC_ERROR_CANCELLED;
    if (code == GRPC_STATUS_DEADLINE_EXCEEDED) kind = CGRPC_ERROR_DEADLINE;
    // What gRPC says is then only that the other side has gone.
    if (channel_.relay != nullptr && channel_.relay->lacks_threads())
        message = "no thread could be started for the connection: look at ulimit -u and -v";
    std::unique_ptr<cgrpc_error> result = error(kind, std::move(message));
    result->code = code;
    return result;
}

std::unique_ptr<cgrpc_error> Rpc::error(cgrpc_error_kind kind, std::string message) const {
    return std::unique_ptr<cgrpc_error>(new cgrpc_error{kind, GRPC_STATUS_UNKNOWN, std::move(message), channel_.target,
                                                        log_since(channel_.first_log_line)});
}

ByteBufferStream::ByteBufferStream(grpc_byte_buffer *buffer)
    : is_valid_(grpc_byte_buffer_reader_init(&reader_, buffer) != 0) {}

ByteBufferStream::~ByteBufferStream() {
    if (is_valid_) grpc_byte_buffer_reader_destroy(&reader_);
}

bool ByteBufferStream::Next(const void **data, int *size) {
    if (backed_up_ > 0) {
        *data = slice_end_ - backed_up_;
        *size = backed_up_;
        byte_count_ += backed_up_;
        backed_up_ = 0;
        return true;
    }
    grpc_slice *slice = nullptr;
    if (!is_valid_ || grpc_byte_buffer_reader_peek(&reader_, &slice) == 0) return false;
    *data = GRPC_SLICE_START_PTR(*slice);
    *size = static_cast<int>(GRPC_SLICE_LENGTH(*slice));
    slice_end_ = GRPC_SLICE_END_PTR(*slice);
    byte_count_ += *size;
    return true;
}

void ByteBufferStream::BackUp(int count) {
    backed_up_ = count;
    byte_count_ -= count;
}

bool ByteBufferStream::Skip(int count) {
    const void *data;
    int size;
    while (count > 0) {
        if (!Next(&data, &size)) return false;
        if (size > count) BackUp(size - count);
        count -= size < count ? size : count;
    }
    return true;
}

}  // namespace cgrpc
