#ifndef CGRPC_RELAY_H
#define CGRPC_RELAY_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cgrpc {

/// Counts what was passed on to gRPC and what of it was read, so that never more than a window lies between.
class ReadAheadGate {
   public:
    explicit ReadAheadGate(int64_t window_bytes) : window_bytes_(window_bytes) {}

    /// Says that the reader waits for a message. From any thread, as all of these.
    void reader_waits();
    /// Says that the reader has got a message.
    void reader_got(size_t message_bytes);
    /// Says that bytes were passed on.
    void passed(size_t bytes);
    /// Forgets an earlier connection's bytes.
    void restart();
    /// Says that gRPC has ended the connection, so that nobody waits for it to read.
    void end_connection();
    /// Lets everything through from now on.
    void close();
    /// How many bytes may be passed on; waits until that is more than none. `socket` leads to gRPC.
    size_t wait_for_credit(int socket);

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    const int64_t window_bytes_;
    int64_t passed_bytes_ = 0;
    double read_bytes_ = 0;
    bool is_reader_waiting_ = false;
    bool has_ended_ = false;
    bool is_closed_ = false;
};

/// Stands between a gRPC channel and its server, passes bytes on as they are, and stops reading from the server while a
/// window full of them was not read by the channel's user.
///
/// gRPC connects to it over a socket of this process that has no name in the file system. Of the server's bytes none is
/// copied where the kernel can splice.
class Relay {
   public:
    /// An address and a port, as text.
    struct Address {
        std::string host;
        std::string port;
    };

    /// A relay to a gRPC target of addresses, which are tried in their order; null if sockets can't be had.
    static std::unique_ptr<Relay> create(const std::string &target, int64_t window_bytes);
    ~Relay();
    Relay(const Relay &) = delete;
    Relay &operator=(const Relay &) = delete;

    /// The target for gRPC.
    const std::string &target() const { return target_; }
    ReadAheadGate &gate() { return gate_; }
    /// How many connections to the server were begun.
    int connection_count() const { return connection_count_; }
    /// Whether a connection could not be served because no further thread could be started, or no memory be had.
    bool lacks_threads() const { return lacks_threads_; }

   private:
    Relay(int listener, std::string target, std::vector<Address> addresses, int64_t window_bytes);

    void accept_connections();
    void serve(int client);
    int connect_to_server();
    void pass_to_server(int client, int server);
    void pass_to_client(int server, int client);
    bool hold(int &place, int descriptor);
    void release(int &place);

    const int listener_;
    const std::string target_;
    const std::vector<Address> addresses_;
    ReadAheadGate gate_;
    std::mutex mutex_;
    /// The sockets of the connection that stands, -1 for none; shut down to end it.
    int client_ = -1;
    int server_ = -1;
    bool is_closed_ = false;
    std::atomic<bool> lacks_threads_{false};
    std::atomic<int> connection_count_{0};
    std::thread thread_;
};

}  // namespace cgrpc

#endif
