#ifndef CGRPC_RPC_H
#define CGRPC_RPC_H

#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/message_lite.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "cgrpc_shim.h"
#include "channel.h"
#include "error.h"

namespace cgrpc {

struct ByteBufferDeleter {
    void operator()(grpc_byte_buffer *buffer) const { grpc_byte_buffer_destroy(buffer); }
};
/// An owned message in its wire form.
using ByteBuffer = std::unique_ptr<grpc_byte_buffer, ByteBufferDeleter>;

/// A received message's slices as protobuf reads them, without copying.
class ByteBufferStream final : public google::protobuf::io::ZeroCopyInputStream {
   public:
    /// Reads `buffer`, which has to outlive the stream.
    explicit ByteBufferStream(grpc_byte_buffer *buffer);
    ~ByteBufferStream() override;
    ByteBufferStream(const ByteBufferStream &) = delete;
    ByteBufferStream &operator=(const ByteBufferStream &) = delete;

    bool Next(const void **data, int *size) override;
    void BackUp(int count) override;
    bool Skip(int count) override;
    int64_t ByteCount() const override { return byte_count_; }

   private:
    grpc_byte_buffer_reader reader_;
    bool is_valid_;
    const uint8_t *slice_end_ = nullptr;
    int backed_up_ = 0;
    int64_t byte_count_ = 0;
};

/// The client's side of one RPC with one request: its gRPC call and a completion queue of its own.
///
/// At most one batch is under way, and none whenever a member function has returned; so a completion is plucked by the
/// thread that began its batch, and nothing has to be drained at the end.
class Rpc {
   public:
    Rpc(cgrpc_channel &channel, const char *path, int64_t timeout_ms, const char *token);
    ~Rpc();
    Rpc(const Rpc &) = delete;
    Rpc &operator=(const Rpc &) = delete;

    /// Makes every batch fail, the one under way too. From any thread.
    void cancel();

    /// What an attempt to receive a message came to.
    enum class Receipt { message, no_more, stalled };

    /// Sends `request` and receives the first message. `is_secret` has the sent copy wiped.
    Receipt begin(const google::protobuf::MessageLite &request, bool is_secret, gpr_timespec stall_deadline,
                  ByteBuffer &message);
    /// Receives the next message. After `stalled` the call is cancelled.
    Receipt receive(gpr_timespec stall_deadline, ByteBuffer &message);
    /// Waits for the status, which comes at once after `no_more` or a cancellation; null if it is OK.
    std::unique_ptr<cgrpc_error> finish();
    /// Cancels and waits for the status, then reports an error of our own.
    std::unique_ptr<cgrpc_error> fail(cgrpc_error_kind kind, std::string message);
    /// Whether `begin` was called.
    bool was_begun() const { return was_begun_; }
    /// Whether the token can be sent as metadata.
    bool has_legal_token() const;
    /// An error of this call that doesn't come from gRPC.
    std::unique_ptr<cgrpc_error> error(cgrpc_error_kind kind, std::string message) const;

   private:
    bool run(const grpc_op *operations, size_t count, gpr_timespec stall_deadline);
    std::unique_ptr<cgrpc_error> status_error(grpc_status_code code, std::string message) const;

    cgrpc_channel &channel_;
    grpc_completion_queue *queue_;
    grpc_call *call_;
    std::optional<std::string> token_;
    std::atomic<bool> was_cancelled_{false};
    bool was_begun_ = false;
    bool is_finished_ = false;
};

/// The time `timeout_ms` from now.
gpr_timespec deadline_after(int64_t timeout_ms);

}  // namespace cgrpc

#endif
