#ifndef CGRPC_THREADS_H
#define CGRPC_THREADS_H

namespace cgrpc {

/// Has gRPC start the threads that its timers and closures run on, and keeps them for the life of the process.
///
/// gRPC does not notice when a thread can't be started: what waits for a timer then waits forever, and so does the end of
/// the last channel, which waits for the thread of the timers to end. So each kind is put to work once.
/// Returns false if one of them does nothing.
bool start_threads();

}  // namespace cgrpc

#endif
