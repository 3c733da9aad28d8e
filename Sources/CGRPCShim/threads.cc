#include "threads.h"

#include <grpc/event_engine/event_engine.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <dirent.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "rpc.h"

namespace grpc_event_engine {
namespace experimental {
// Exported by gRPC 1.51, and declared in none of its public headers (src/core/lib/event_engine/default_event_engine.h).
std::shared_ptr<EventEngine> GetDefaultEventEngine();
}  // namespace experimental
}  // namespace grpc_event_engine

namespace cgrpc {
namespace {

using grpc_event_engine::experimental::EventEngine;

/// How long threads may take to begin on a host that is busy.
constexpr int patience_ms = 5000;

/// Counts the threads that have shown that they run.
class Signs {
   public:
    void give() {
        std::lock_guard<std::mutex> lock(mutex_);
        count_ += 1;
        changed_.notify_one();
    }
    bool wait_for(int count) {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_for(lock, std::chrono::milliseconds(patience_ms), [&] { return count_ >= count; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

/// Whether the deadline of a watch passes, which the thread of the older timers has to see. What it needs is kept: after a
/// failure gRPC may still refer to it.
bool timers_run() {
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create("ipv4:127.0.0.1:1", credentials, nullptr);
    grpc_channel_credentials_release(credentials);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(nullptr);
    grpc_channel_watch_connectivity_state(channel, GRPC_CHANNEL_IDLE, deadline_after(1), queue, nullptr);
    if (grpc_completion_queue_next(queue, deadline_after(patience_ms), nullptr).type != GRPC_OP_COMPLETE) return false;
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(queue);
    grpc_channel_destroy(channel);
    return true;
}

/// The names of this process' threads (proc(5), `/proc/self/task/*/comm`); none where they can't be read.
std::set<std::string> thread_names() {
    std::set<std::string> names;
    const std::string directory = "/proc/self/task/";
    DIR *entries = opendir(directory.c_str());
    if (entries == nullptr) return names;
    while (dirent *entry = readdir(entries)) {
        std::string name;
        if (std::getline(std::ifstream(directory + entry->d_name + "/comm"), name)) names.insert(name);
    }
    closedir(entries);
    return names;
}

/// Whether the threads of gRPC's executors are there: no public function gives them anything to do. A name has 15
/// characters, and a thread gives itself its own.
bool executors_run() {
    for (int waited_ms = 0; waited_ms < patience_ms; waited_ms += 5) {
        std::set<std::string> names = thread_names();
        // Where names can't be given (prctl(2) is refused) all are the program's, and tell nothing.
        if (names.size() < 2 || (names.count("default-executo") != 0 && names.count("resolver-execut") != 0)) return true;
        usleep(5000);
    }
    return false;
}

}  // namespace

bool start_threads() {
    // Neither is ever destroyed: the end of an engine waits for threads, and a late thread may still give its sign.
    static auto *engine =
        new std::shared_ptr<EventEngine>(grpc_event_engine::experimental::GetDefaultEventEngine());
    static auto *signs = new Signs;
    (*engine)->Run([] { signs->give(); });
    (*engine)->RunAfter(std::chrono::milliseconds(1), [] { signs->give(); });
    return signs->wait_for(2) && timers_run() && executors_run();
}

}  // namespace cgrpc
