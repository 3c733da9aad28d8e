#include "relay.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

namespace cgrpc {

namespace {

/// How long both sides wait before it is clear that the count is wrong and nothing is left to be read.
constexpr std::chrono::milliseconds patience{20};
/// How long to let bytes gather when there are few, so that a turn passes many: each turn wakes gRPC, and every wake
/// costs as much as copying 20 KB.
constexpr useconds_t gathering_microseconds = 3000;
constexpr int few_bytes = 512 << 10;
/// The most bytes of a turn; a pipe of that size needs no privilege.
constexpr int pipe_bytes = 1 << 20;
constexpr int connect_timeout_seconds = 10;

/// What a message takes on the wire: gRPC's prefix of 5 bytes, and for each 16 KiB, which is the largest of either, the
/// header of an HTTP/2 frame (RFC 9113, section 4.1) and that of a TLS record (RFC 8446, section 5.2) with its tag.
double wire_bytes(size_t message_bytes) {
    return static_cast<double>(message_bytes) * (1 + (9 + 22) / 16384.0) + 5 + 9;
}

/// The addresses of a target: `ipv4:1.2.3.4:5,6.7.8.9:5` or `ipv6:[::1]:5,[::ffff:1.2.3.4]:5`; none if it is no such.
std::vector<Relay::Address> split(const std::string &target) {
    std::vector<Relay::Address> result;
    size_t start = target.find(':') + 1;  // 0 without one
    while (start > 0 && start < target.size()) {
        size_t end = std::min(target.find(',', start), target.size());
        std::string address = target.substr(start, end - start);
        size_t colon = address.rfind(':');
        if (colon == std::string::npos) return {};
        std::string host = address.substr(0, colon);
        if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
        // A host without IPv6 has no sockets for mapped addresses.
        const std::string mapped = "::ffff:";
        bool is_mapped = host.compare(0, mapped.size(), mapped) == 0 && host.find('.') != std::string::npos;
        result.push_back({is_mapped ? host.substr(mapped.size()) : host, address.substr(colon + 1)});
        start = end + 1;
    }
    return result;
}

/// Whether the other end of a local socket is this process: anybody on the host may connect to one without a file.
bool is_from_this_process(int socket) {
    ucred credentials = {};
    socklen_t size = sizeof credentials;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && credentials.pid == getpid();
}

bool send_all(int socket, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(socket, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes += sent;
        count -= static_cast<size_t>(sent);
    }
    return true;
}

/// Where splice(2) is refused.
ssize_t copy_some(int from, int to, size_t count) {
    char buffer[16 << 10];
    ssize_t size;
    do {
        size = read(from, buffer, std::min(count, sizeof buffer));
    } while (size < 0 && errno == EINTR);
    for (ssize_t done = 0; done < size;) {
        ssize_t written = write(to, buffer + done, static_cast<size_t>(size - done));
        if (written < 0 && errno != EINTR) return -1;
        done += std::max<ssize_t>(written, 0);
    }
    return size;
}

/// Moves what can be moved now, at most `count` bytes; 0 at the end, -1 after a failure.
ssize_t splice_some(int from, int to, size_t count) {
    ssize_t moved;
    do {
        moved = splice(from, nullptr, to, nullptr, count, SPLICE_F_MOVE);
    } while (moved < 0 && errno == EINTR);
    if (moved < 0 && (errno == ENOSYS || errno == EPERM)) return copy_some(from, to, count);
    return moved;
}

/// The socket address of an address as text; null if it is none.
std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> socket_address(const Relay::Address &address) {
    addrinfo hints = {};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo *list = nullptr;
    if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &list) != 0) list = nullptr;
    return {list, &freeaddrinfo};
}

/// A listening socket without a name in the file system; its name for gRPC is stored.
int listen_locally(std::string &name) {
    uint64_t token;
    if (RAND_bytes(reinterpret_cast<unsigned char *>(&token), sizeof token) != 1) return -1;
    name = "etcd-snap-" + std::to_string(getpid()) + "-" + std::to_string(token);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path + 1, name.data(), name.size());
    socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) return -1;
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), size) == 0 && listen(listener, 64) == 0) return listener;
    close(listener);
    return -1;
}

}  // namespace

void ReadAheadGate::reader_waits() {
    std::lock_guard<std::mutex> lock(mutex_);
    is_reader_waiting_ = true;
}

void ReadAheadGate::reader_got(size_t message_bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    is_reader_waiting_ = false;
    // Without TLS less was on the wire.
    read_bytes_ = std::min(read_bytes_ + wire_bytes(message_bytes), static_cast<double>(passed_bytes_));
    // A turn for every message would be many.
    if (static_cast<double>(passed_bytes_) - read_bytes_ <= static_cast<double>(window_bytes_) / 2)
        changed_.notify_one();
}

void ReadAheadGate::passed(size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    passed_bytes_ += static_cast<int64_t>(bytes);
}

void ReadAheadGate::restart() {
    std::lock_guard<std::mutex> lock(mutex_);
    passed_bytes_ = 0;
    read_bytes_ = 0;
    has_ended_ = false;
}

void ReadAheadGate::end_connection() {
    std::lock_guard<std::mutex> lock(mutex_);
    has_ended_ = true;
    changed_.notify_one();
}

void ReadAheadGate::close() {
    std::lock_guard<std::mutex> lock(mutex_);
    is_closed_ = true;
    changed_.notify_one();
}

size_t ReadAheadGate::wait_for_credit(int socket) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        int64_t credit = window_bytes_ - (passed_bytes_ - static_cast<int64_t>(read_bytes_));
        if (is_closed_ || has_ended_) return pipe_bytes;
        if (credit > 0) return static_cast<size_t>(std::min<int64_t>(credit, pipe_bytes));
        if (changed_.wait_for(lock, patience) == std::cv_status::no_timeout || !is_reader_waiting_) continue;
        int unread_bytes = 0;
        if (ioctl(socket, SIOCOUTQ, &unread_bytes) == 0 && unread_bytes == 0)
            passed_bytes_ = static_cast<int64_t>(read_bytes_);
    }
}

std::unique_ptr<Relay> Relay::create(const std::string &target, int64_t window_bytes) {
    std::string name;
    std::vector<Address> addresses = split(target);
    if (addresses.empty()) return nullptr;
    int listener = listen_locally(name);
    if (listener < 0) return nullptr;
    try {
        return std::unique_ptr<Relay>(
            new Relay(listener, "unix-abstract:" + name, std::move(addresses), window_bytes));
    } catch (const std::system_error &) {  // there are no more threads to be had
        close(listener);
        return nullptr;
    }
}

Relay::Relay(int listener, std::string target, std::vector<Address> addresses, int64_t window_bytes)
    : listener_(listener),
      target_(std::move(target)),
      addresses_(std::move(addresses)),
      gate_(window_bytes),
      thread_([this] { accept_connections(); }) {}

Relay::~Relay() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        is_closed_ = true;
        for (int descriptor : {listener_, client_, server_})
            if (descriptor >= 0) shutdown(descriptor, SHUT_RDWR);
    }
    gate_.close();
    thread_.join();
    close(listener_);
}

/// Notes a socket for the destructor; false if that has begun.
bool Relay::hold(int &place, int descriptor) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return false;
    place = descriptor;
    return true;
}

void Relay::release(int &place) {
    std::lock_guard<std::mutex> lock(mutex_);
    close(place);
    place = -1;
}

void Relay::accept_connections() {
    // splice(2) knows no MSG_NOSIGNAL.
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
    while (true) {
        int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            // Too many open files: another turn may find room. The listener's own end is told by EINVAL.
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                usleep(100'000);
                continue;
            }
            return;
        }
        if (!is_from_this_process(client)) {
            close(client);
        } else if (hold(client_, client)) {
            gate_.restart();
            connection_count_ += 1;
            serve(client);
            release(client_);
        } else {
            close(client);
            return;
        }
    }
}

void Relay::serve(int client) {
    std::thread upstream;
    int server = -1;
    try {
        server = connect_to_server();
        if (server < 0) return;
        upstream = std::thread([=] { pass_to_server(client, server); });
        pass_to_client(server, client);
    } catch (const std::exception &) {  // gRPC sees the connection end
        lacks_threads_ = true;
    }
    // Whichever side has ended, the other must not wait for more.
    if (server >= 0) shutdown(server, SHUT_RDWR);
    shutdown(client, SHUT_RDWR);
    if (upstream.joinable()) upstream.join();
    if (server >= 0) release(server_);
}

/// The first address that answers; kept in `server_`. -1 if none does.
int Relay::connect_to_server() {
    for (const Address &named : addresses_) {
        auto address = socket_address(named);
        if (address == nullptr) continue;
        int server = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
        if (server < 0) continue;
        if (!hold(server_, server)) {
            close(server);
            return -1;
        }
        // gRPC's handshakes and window updates are small and waited for.
        int is_on = 1;
        setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on);
        // On Linux the send time-out also bounds connect, see socket(7).
        timeval timeout = {connect_timeout_seconds, 0};
        setsockopt(server, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (connect(server, address->ai_addr, address->ai_addrlen) == 0) {
            timeout = {0, 0};
            setsockopt(server, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
            return server;
        }
        release(server_);
    }
    return -1;
}

void Relay::pass_to_server(int client, int server) {
    char buffer[16 << 10];
    while (true) {
        ssize_t count = recv(client, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0 || !send_all(server, buffer, static_cast<size_t>(count))) break;
    }
    shutdown(server, SHUT_RDWR);
    gate_.end_connection();
}

void Relay::pass_to_client(int server, int client) {
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) return;
    (void)fcntl(pipe_ends[1], F_SETPIPE_SZ, pipe_bytes);
    pollfd readable = {server, POLLIN, 0};
    bool is_open = true;
    while (is_open) {
        size_t credit = gate_.wait_for_credit(client);
        if (poll(&readable, 1, -1) < 0 && errno != EINTR) break;
        int waiting_bytes = 0;
        if (ioctl(server, FIONREAD, &waiting_bytes) == 0 && waiting_bytes < few_bytes) usleep(gathering_microseconds);
        ssize_t count = splice_some(server, pipe_ends[1], credit);
        is_open = count > 0;
        // Before gRPC can have read them.
        if (count > 0) gate_.passed(static_cast<size_t>(count));
        for (ssize_t rest = count; is_open && rest > 0;) {
            ssize_t moved = splice_some(pipe_ends[0], client, static_cast<size_t>(rest));
            is_open = moved > 0;
            rest -= std::max<ssize_t>(moved, 0);
        }
    }
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

}  // namespace cgrpc
