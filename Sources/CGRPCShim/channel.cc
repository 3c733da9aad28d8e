#include "channel.h"

#include <grpc/grpc_security.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "rpc.h"

namespace {

/// What a server may send of one stream before it was read: a round trip of 30 ms at a gigabit per second.
constexpr int stream_window_bytes = 4 << 20;

/// Channel arguments that refer to the options and the authority they are made from.
std::vector<grpc_arg> arguments(const cgrpc_channel_options &options, const std::string &authority) {
    std::vector<grpc_arg> result;
    auto add_integer = [&](const char *key, int value) {
        grpc_arg argument;
        argument.type = GRPC_ARG_INTEGER;
        argument.key = const_cast<char *>(key);
        argument.value.integer = value;
        result.push_back(argument);
    };
    auto add_string = [&](const char *key, const char *value) {
        grpc_arg argument;
        argument.type = GRPC_ARG_STRING;
        argument.key = const_cast<char *>(key);
        argument.value.string = const_cast<char *>(value);
        result.push_back(argument);
    };
    // gRPC would send even calls to localhost through http_proxy.
    add_integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    add_integer(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    // With the process-wide pool a new channel would inherit the back-off of an earlier one to the same endpoint.
    add_integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A call is made once; whether to repeat it is the caller's decision.
    add_integer(GRPC_ARG_ENABLE_RETRIES, 0);
    // A stream that begins with a large window spares the server the first waits.
    add_integer(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, stream_window_bytes);
    add_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options.max_message_bytes);
    if (options.keepalive_interval_ms > 0) {
        add_integer(GRPC_ARG_KEEPALIVE_TIME_MS, options.keepalive_interval_ms);
        add_integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, options.keepalive_timeout_ms);
        // A snapshot's client sends no data after its request, which would stop the pings after the second.
        add_integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    if (options.server_name != nullptr) {
        add_string(GRPC_ARG_DEFAULT_AUTHORITY, authority.c_str());
        if (options.uses_tls) add_string(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, options.server_name);
    }
    return result;
}

grpc_channel_credentials *credentials(const cgrpc_channel_options &options) {
    if (!options.uses_tls) return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {options.key_pem, options.certificate_pem};
    bool has_pair = options.key_pem != nullptr && options.certificate_pem != nullptr;
    return grpc_ssl_credentials_create_ex(options.ca_pem, has_pair ? &pair : nullptr, nullptr, nullptr);
}

cgrpc_error *refusal(const cgrpc_channel_options &options, uint64_t first_log_line,
                     const char *message = "gRPC can't use the channel's options") {
    return new cgrpc_error{CGRPC_ERROR_ARGUMENT, GRPC_STATUS_UNKNOWN, message, options.target,
                           cgrpc::log_since(first_log_line)};
}

/// A server's name as it stands in a URL; empty without one.
std::string authority_of(const char *server_name) {
    if (server_name == nullptr) return "";
    std::string name = server_name;
    return name.find(':') == std::string::npos ? name : "[" + name + "]";
}

}  // namespace

cgrpc_channel *cgrpc_channel_create(const cgrpc_channel_options *options, cgrpc_error **error) {
    bool has_threads = cgrpc::initialize();
    uint64_t first_log_line = cgrpc::next_log_line();
    if (!has_threads) {
        *error = refusal(*options, first_log_line, "no thread could be started for it: look at ulimit -u and -v");
        return nullptr;
    }
    grpc_channel_credentials *owned_credentials = credentials(*options);
    if (owned_credentials == nullptr) {
        *error = refusal(*options, first_log_line);
        return nullptr;
    }
    std::unique_ptr<cgrpc::Relay> relay;
    if (options->read_ahead_bytes > 0) {
        relay = cgrpc::Relay::create(options->target, options->read_ahead_bytes);
        if (relay == nullptr) {
            grpc_channel_credentials_release(owned_credentials);
            *error = refusal(*options, first_log_line,
                             "no socket or thread could be had for the connection: look at ulimit -n, -u and -v");
            return nullptr;
        }
    }
    std::string authority = authority_of(options->server_name);
    std::vector<grpc_arg> list = arguments(*options, authority);
    grpc_channel_args argument_list = {list.size(), list.data()};
    grpc_channel *channel = grpc_channel_create(relay ? relay->target().c_str() : options->target, owned_credentials, &argument_list);
    grpc_channel_credentials_release(owned_credentials);
    if (channel == nullptr) {
        *error = refusal(*options, first_log_line);
        return nullptr;
    }
    return new cgrpc_channel{channel, options->target, first_log_line, std::move(relay)};
}

cgrpc_connectivity cgrpc_channel_connect(cgrpc_channel *channel, int32_t timeout_ms) {
    gpr_timespec deadline = cgrpc::deadline_after(timeout_ms);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(nullptr);
    cgrpc_connectivity result;
    while (true) {
        grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel->channel, 1);
        if (state == GRPC_CHANNEL_READY) {
            result = CGRPC_CONNECTED;
            break;
        }
        if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
            result = CGRPC_UNREACHABLE;
            break;
        }
        grpc_channel_watch_connectivity_state(channel->channel, state, deadline, queue, nullptr);
        // The watch itself ends at the deadline, so that no event is left over.
        if (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr).success == 0) {
            result = CGRPC_CONNECT_TIMED_OUT;
            break;
        }
    }
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(queue);
    return result;
}

int32_t cgrpc_channel_get_connection_count(const cgrpc_channel *channel) {
    return channel->relay == nullptr ? 0 : channel->relay->connection_count();
}

void cgrpc_channel_destroy(cgrpc_channel *channel) {
    if (channel == nullptr) return;
    grpc_channel_destroy(channel->channel);
    delete channel;
}
