#ifndef CGRPC_SNAPSHOT_MESSAGE_H
#define CGRPC_SNAPSHOT_MESSAGE_H

#include <cstdint>
#include <string>

#include "rpc.h"

namespace cgrpc {

/// A received etcdserverpb.SnapshotResponse whose blob stays in gRPC's slices until it is copied out, piece by piece.
class SnapshotMessage {
   public:
    /// Takes the place of the current message. False if it isn't a SnapshotResponse.
    bool assign(ByteBuffer message);

    /// The blob bytes that weren't copied yet.
    size_t unread_bytes() const { return unread_bytes_; }
    /// What the server says is to come after this message, its final SHA-256 not counted.
    uint64_t remaining_bytes() const { return remaining_bytes_; }
    /// The storage version, empty before etcd 3.6.
    const std::string &version() const { return version_; }
    /// Copies at most `capacity` bytes of the blob's rest; returns how many.
    size_t copy(void *destination, size_t capacity);

   private:
    bool locate(int64_t &blob_offset, int &blob_bytes);

    ByteBuffer message_;
    std::unique_ptr<ByteBufferStream> blob_;
    size_t unread_bytes_ = 0;
    uint64_t remaining_bytes_ = 0;
    std::string version_;
};

}  // namespace cgrpc

#endif
