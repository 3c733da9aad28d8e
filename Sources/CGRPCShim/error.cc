#include "error.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <shortage.h>

#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>

#include "threads.h"

namespace cgrpc {
namespace {

/// The last lines that gRPC logged.
struct Log {
    static constexpr size_t max_line_count = 64;
    std::mutex mutex;
    uint64_t first_line = 0;
    std::deque<std::string> lines;
};

// Never destroyed: gRPC's own threads may log while the process exits.
Log &the_log() {
    static Log *log = new Log;
    return *log;
}

void keep_line(gpr_log_func_args *arguments) {
    Log &log = the_log();
    std::lock_guard<std::mutex> lock(log.mutex);
    log.lines.emplace_back(arguments->message);
    if (log.lines.size() > Log::max_line_count) {
        log.lines.pop_front();
        log.first_line += 1;
    }
}

/// gRPC catches nothing, and what it does not get it can't do without.
[[noreturn]] void end_for_want_of_memory() {
    try {
        std::rethrow_exception(std::current_exception());
    } catch (const std::bad_alloc &) {
    } catch (const std::system_error &) {
    } catch (...) {
        std::abort();
    }
    clinux_end_for_want_of_resources();
}

}  // namespace

bool initialize() {
    // gRPC is never shut down: that happens on a thread of its own, which would race with the end of the process.
    static std::once_flag once;
    static bool has_threads = false;
    std::call_once(once, [] {
        std::set_terminate(end_for_want_of_memory);
        the_log();
        gpr_set_log_function(keep_line);
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
        grpc_init();
        has_threads = start_threads();
    });
    return has_threads;
}

uint64_t next_log_line() {
    Log &log = the_log();
    std::lock_guard<std::mutex> lock(log.mutex);
    return log.first_line + log.lines.size();
}

std::string log_since(uint64_t first) {
    Log &log = the_log();
    std::lock_guard<std::mutex> lock(log.mutex);
    std::string result;
    uint64_t line = log.first_line;
    for (const std::string &text : log.lines) {
        if (line++ < first) continue;
        if (!result.empty()) result += '\n';
        result += text;
    }
    return result;
}

}  // namespace cgrpc

cgrpc_error_kind cgrpc_error_get_kind(const cgrpc_error *error) { return error->kind; }
int32_t cgrpc_error_get_code(const cgrpc_error *error) { return error->code; }
const char *cgrpc_error_get_message(const cgrpc_error *error) { return error->message.c_str(); }
const char *cgrpc_error_get_target(const cgrpc_error *error) { return error->target.c_str(); }
const char *cgrpc_error_get_log(const cgrpc_error *error) { return error->log.c_str(); }
void cgrpc_error_destroy(cgrpc_error *error) { delete error; }
