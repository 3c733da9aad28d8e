#ifndef CGRPC_ERROR_H
#define CGRPC_ERROR_H

#include <cstdint>
#include <string>

#include "cgrpc_shim.h"

struct cgrpc_error {
    cgrpc_error_kind kind;
    int32_t code;
    std::string message;
    std::string target;
    std::string log;
};

namespace cgrpc {

/// Begins gRPC once for the life of the process, with its log kept in memory instead of written to stderr. Returns false,
/// then and ever after, if one of its threads could not be started.
bool initialize();

/// The number of the next line that gRPC logs.
uint64_t next_log_line();

/// The kept log lines from `first` on, separated by newlines.
std::string log_since(uint64_t first);

}  // namespace cgrpc

#endif
