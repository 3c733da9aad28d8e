#include "snapshot_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "generated/etcd.pb.h"

namespace cgrpc {

using etcdserverpb::SnapshotResponse;
using google::protobuf::internal::WireFormatLite;

namespace {

constexpr uint32_t remaining_bytes_tag =
    GOOGLE_PROTOBUF_WIRE_FORMAT_MAKE_TAG(SnapshotResponse::kRemainingBytesFieldNumber, WireFormatLite::WIRETYPE_VARINT);
constexpr uint32_t blob_tag =
    GOOGLE_PROTOBUF_WIRE_FORMAT_MAKE_TAG(SnapshotResponse::kBlobFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t version_tag = GOOGLE_PROTOBUF_WIRE_FORMAT_MAKE_TAG(SnapshotResponse::kVersionFieldNumber,
                                                                      WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

}  // namespace

bool SnapshotMessage::assign(ByteBuffer message) {
    blob_.reset();
    message_ = std::move(message);
    unread_bytes_ = 0;
    int64_t blob_offset = 0;
    int blob_bytes = 0;
    if (!locate(blob_offset, blob_bytes)) return false;
    blob_ = std::make_unique<ByteBufferStream>(message_.get());
    unread_bytes_ = static_cast<size_t>(blob_bytes);
    return blob_->Skip(static_cast<int>(blob_offset));
}

/// Reads every field and passes over the blob: the fields may come in any order, and the last of a kind counts.
bool SnapshotMessage::locate(int64_t &blob_offset, int &blob_bytes) {
    ByteBufferStream stream(message_.get());
    google::protobuf::io::CodedInputStream input(&stream);
    remaining_bytes_ = 0;
    while (uint32_t tag = input.ReadTag()) {
        bool is_read;
        int version_bytes;
        switch (tag) {
            case remaining_bytes_tag: is_read = input.ReadVarint64(&remaining_bytes_); break;
            case blob_tag:
                is_read = input.ReadVarintSizeAsInt(&blob_bytes);
                blob_offset = input.CurrentPosition();
                is_read = is_read && input.Skip(blob_bytes);
                break;
            case version_tag:
                is_read = input.ReadVarintSizeAsInt(&version_bytes) && input.ReadString(&version_, version_bytes);
                break;
            default: is_read = WireFormatLite::SkipField(&input, tag);
        }
        if (!is_read) return false;
    }
    return input.ConsumedEntireMessage();
}

size_t SnapshotMessage::copy(void *destination, size_t capacity) {
    size_t wanted = std::min(capacity, unread_bytes_);
    size_t copied = 0;
    while (copied < wanted) {
        const void *data;
        int size;
        if (!blob_->Next(&data, &size)) abort();  // `locate` has passed over these very bytes
        size_t taken = std::min(static_cast<size_t>(size), wanted - copied);
        memcpy(static_cast<char *>(destination) + copied, data, taken);
        blob_->BackUp(size - static_cast<int>(taken));
        copied += taken;
    }
    unread_bytes_ -= copied;
    return copied;
}

}  // namespace cgrpc
