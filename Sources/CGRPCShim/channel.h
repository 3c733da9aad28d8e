#ifndef CGRPC_CHANNEL_H
#define CGRPC_CHANNEL_H

#include <grpc/grpc.h>

#include <memory>
#include <string>

#include "cgrpc_shim.h"
#include "relay.h"

struct cgrpc_channel {
    grpc_channel *channel;
    std::string target;
    /// The number of the first log line that may be about this channel.
    uint64_t first_log_line;
    /// What holds the server back; null if nothing does.
    std::unique_ptr<cgrpc::Relay> relay;
};

#endif
