#ifndef CGRPC_CHANNEL_H
#define CGRPC_CHANNEL_H

#include <grpc/grpc.h>

#include <string>

#include "cgrpc_shim.h"

struct cgrpc_channel {
    grpc_channel *channel;
    std::string target;
    /// The number of the first log line that may be about this channel.
    uint64_t first_log_line;
};

#endif
