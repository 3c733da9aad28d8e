/// etcd's RPCs over the gRPC C core, as a C interface.
///
/// There is no policy here: no retries, no choice of endpoint, no default time-outs; a call is made once and its outcome
/// reported.
///
/// Ownership: `_create` returns an object that its `_destroy` frees; what a `_get_` function or a `_fields` struct refers
/// to is borrowed from the object it was asked of and lives until that object is destroyed (for a call: also until its
/// next fetch). A function that takes `cgrpc_error **` stores an owned error there exactly when it fails.
///
/// Threads: a channel may be used by any number of threads at once. A call or a stream is used by one thread at a time,
/// except that `_cancel` may be called from any thread while the object lives. Fetching and reading block the calling
/// thread, which also does the network's work meanwhile.
///
/// Units: durations are milliseconds and absolute from the function that takes them; sizes are bytes. Strings are
/// NUL-terminated and, where they come from a server, not to be trusted as text. Those in a `_fields` struct are never NULL
/// after a fetch that succeeded; their annotation only lets Swift create the struct empty.
#ifndef CGRPC_SHIM_H
#define CGRPC_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__clang__)
#define _Nonnull
#define _Nullable
#define _Null_unspecified
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// A connection to one endpoint, made on demand and made again after a loss.
typedef struct cgrpc_channel cgrpc_channel;
/// One unary RPC and its response.
typedef struct cgrpc_call cgrpc_call;
/// One Maintenance.Snapshot RPC.
typedef struct cgrpc_snapshot_stream cgrpc_snapshot_stream;
/// Why something failed.
typedef struct cgrpc_error cgrpc_error;

// Errors

/// What kind of failure an error is.
typedef enum cgrpc_error_kind {
    /// The RPC ended with a gRPC status other than OK, from the server or from the transport.
    CGRPC_ERROR_STATUS = 0,
    /// `_cancel` was called.
    CGRPC_ERROR_CANCELLED = 1,
    /// The deadline of the whole call passed.
    CGRPC_ERROR_DEADLINE = 2,
    /// No message arrived within the time-out of one read; the call was cancelled.
    CGRPC_ERROR_STALLED = 3,
    /// The server sent a message that is not the expected protobuf message; the call was cancelled.
    CGRPC_ERROR_MALFORMED = 4,
    /// gRPC refused the arguments: a bad target, PEM data it can't use, a token that is no valid metadata.
    CGRPC_ERROR_ARGUMENT = 5,
} cgrpc_error_kind;

/// The kind of failure.
cgrpc_error_kind cgrpc_error_get_kind(const cgrpc_error *_Nonnull error);
/// The gRPC status code (`include/grpc/impl/codegen/status.h`); 2, UNKNOWN, where the kind is not a status.
int32_t cgrpc_error_get_code(const cgrpc_error *_Nonnull error);
/// The status message of the server or of the transport.
const char *_Nonnull cgrpc_error_get_message(const cgrpc_error *_Nonnull error);
/// The target of the channel.
const char *_Nonnull cgrpc_error_get_target(const cgrpc_error *_Nonnull error);
/// What gRPC logged since the channel was created, one line each, oldest first; lines of other channels that were busy
/// at the same time are among them. Empty if it logged nothing.
const char *_Nonnull cgrpc_error_get_log(const cgrpc_error *_Nonnull error);
/// Frees an error.
void cgrpc_error_destroy(cgrpc_error *_Nullable error);

// Channels

/// How to connect. Everything is copied by `cgrpc_channel_create`.
typedef struct cgrpc_channel_options {
    /// A gRPC target of addresses: `ipv4:127.0.0.1:2379`, or `ipv6:[::1]:2379,[::ffff:127.0.0.1]:2379`; or a socket of this
    /// host: `unix:/path`.
    const char *_Nonnull target;
    /// Whether to use TLS; without it the PEM fields are ignored.
    bool uses_tls;
    /// The certificate authorities to trust, or NULL for the system's.
    const char *_Nullable ca_pem;
    /// The client's certificate chain, leaf first, or NULL; together with `key_pem`.
    const char *_Nullable certificate_pem;
    /// The client's private key; the copies inside gRPC live as long as the channel and can't be wiped.
    const char *_Nullable key_pem;
    /// The name that the server's certificate has to carry, and the `:authority` of calls; NULL for the target's host,
    /// which is not known with `read_ahead_bytes`.
    const char *_Nullable server_name;
    /// The most bytes to receive ahead of the reader of a snapshot, or 0 to leave that to gRPC, which on a host without a
    /// free core has been seen to buffer half a gigabyte. With it a channel is for one snapshot, and for small calls before
    /// and after it; two more threads belong to it.
    int32_t read_ahead_bytes;
    /// The time between keepalive pings during calls, or 0 for none.
    int32_t keepalive_interval_ms;
    /// How long to wait for the answer to a ping before the connection is given up.
    int32_t keepalive_timeout_ms;
    /// The size of the largest message to accept.
    int32_t max_message_bytes;
} cgrpc_channel_options;

/// What became of an attempt to connect.
typedef enum cgrpc_connectivity {
    /// The connection stands, TLS handshake included.
    CGRPC_CONNECTED = 0,
    /// The attempt failed; a call now fails at once and says why.
    CGRPC_UNREACHABLE = 1,
    /// The time-out passed first.
    CGRPC_CONNECT_TIMED_OUT = 2,
} cgrpc_connectivity;

/// Creates a channel; nothing is sent. Returns NULL and an error if gRPC refuses the options.
///
/// The channel has connections of its own, ignores `http_proxy` and asks no DNS service configuration.
cgrpc_channel *_Nullable cgrpc_channel_create(const cgrpc_channel_options *_Nonnull options,
                                              cgrpc_error *_Nullable *_Nonnull error);
/// Connects and waits until that has succeeded, failed or taken too long.
cgrpc_connectivity cgrpc_channel_connect(cgrpc_channel *_Nonnull channel, int32_t timeout_ms);
/// How many connections to the server the channel has begun; 0 without `read_ahead_bytes`. While the number stays the same
/// calls go to the same server, even where several stand behind one address.
int32_t cgrpc_channel_get_connection_count(const cgrpc_channel *_Nonnull channel);
/// Closes the connection and frees the channel; its calls have to be destroyed before.
void cgrpc_channel_destroy(cgrpc_channel *_Nullable channel);

// Unary calls

/// The RPC that a call is for.
typedef enum cgrpc_method {
    CGRPC_METHOD_STATUS = 0,
    CGRPC_METHOD_ALARMS = 1,
    CGRPC_METHOD_HASH_KV = 2,
    CGRPC_METHOD_MEMBERS = 3,
    CGRPC_METHOD_AUTHENTICATE = 4,
    CGRPC_METHOD_AUTH_STATUS = 5,
    CGRPC_METHOD_RANGE = 6,
} cgrpc_method;

/// etcdserverpb.ResponseHeader.
typedef struct cgrpc_header_fields {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
} cgrpc_header_fields;

/// etcdserverpb.StatusResponse without its errors.
typedef struct cgrpc_status_fields {
    cgrpc_header_fields header;
    const char *_Null_unspecified version;
    int64_t db_size_bytes;
    int64_t db_size_in_use_bytes;
    uint64_t leader_id;
    uint64_t raft_index;
    uint64_t raft_term;
    uint64_t raft_applied_index;
    bool is_learner;
    /// Empty before etcd 3.6.
    const char *_Null_unspecified storage_version;
    /// 0 before etcd 3.6.
    int64_t db_size_quota_bytes;
    size_t error_count;
} cgrpc_status_fields;

/// etcdserverpb.AlarmMember.
typedef struct cgrpc_alarm_fields {
    uint64_t member_id;
    /// etcdserverpb.AlarmType: 1 NOSPACE, 2 CORRUPT.
    int32_t type;
} cgrpc_alarm_fields;

/// etcdserverpb.HashKVResponse.
typedef struct cgrpc_hash_kv_fields {
    cgrpc_header_fields header;
    uint32_t hash;
    int64_t compact_revision;
    /// 0 before etcd 3.6.
    int64_t hash_revision;
} cgrpc_hash_kv_fields;

/// etcdserverpb.Member without its URLs.
typedef struct cgrpc_member_fields {
    uint64_t id;
    const char *_Null_unspecified name;
    bool is_learner;
    size_t peer_url_count;
    size_t client_url_count;
} cgrpc_member_fields;

/// etcdserverpb.AuthStatusResponse.
typedef struct cgrpc_auth_status_fields {
    bool is_enabled;
    uint64_t auth_revision;
} cgrpc_auth_status_fields;

/// etcdserverpb.RangeRequest: the keys from `key` on that are before `range_end`, or all where that is one zero byte.
typedef struct cgrpc_range_request {
    const void *_Nonnull key;
    size_t key_bytes;
    const void *_Nonnull range_end;
    size_t range_end_bytes;
    /// The most keys to return; 0 for all.
    int64_t limit;
    /// The revision to read at; 0 for the current one.
    int64_t revision;
} cgrpc_range_request;

/// etcdserverpb.RangeResponse without its rows.
typedef struct cgrpc_range_fields {
    cgrpc_header_fields header;
    size_t row_count;
    /// The keys in the range, returned or not.
    int64_t key_count;
    bool has_more;
} cgrpc_range_fields;

/// mvccpb.KeyValue; borrowed from the call.
typedef struct cgrpc_key_value_fields {
    const void *_Null_unspecified key;
    size_t key_bytes;
    const void *_Null_unspecified value;
    size_t value_bytes;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
} cgrpc_key_value_fields;

/// Creates a call that fails `timeout_ms` from now, with `token` as its authentication token unless that is NULL.
/// One fetch function, the one for `method`, may be called on it, once.
cgrpc_call *_Nonnull cgrpc_call_create(cgrpc_channel *_Nonnull channel, cgrpc_method method, int32_t timeout_ms,
                                       const char *_Nullable token);
/// Makes the call fail, now or when it is begun. From any thread.
void cgrpc_call_cancel(cgrpc_call *_Nonnull call);
/// Frees the call and its response. Not while another thread uses or cancels it.
void cgrpc_call_destroy(cgrpc_call *_Nullable call);

/// Maintenance.Status. Returns false and an error on failure.
bool cgrpc_call_fetch_status(cgrpc_call *_Nonnull call, cgrpc_status_fields *_Nonnull fields,
                             cgrpc_error *_Nullable *_Nonnull error);
/// One of the `error_count` errors of a fetched status.
const char *_Nonnull cgrpc_call_get_status_error(const cgrpc_call *_Nonnull call, size_t index);

/// Maintenance.Alarm with the action GET, for all members and alarms.
bool cgrpc_call_fetch_alarms(cgrpc_call *_Nonnull call, size_t *_Nonnull alarm_count,
                             cgrpc_error *_Nullable *_Nonnull error);
/// One of the fetched alarms.
void cgrpc_call_get_alarm(const cgrpc_call *_Nonnull call, size_t index, cgrpc_alarm_fields *_Nonnull fields);

/// Maintenance.HashKV at `revision`, or at the current one for 0.
bool cgrpc_call_fetch_hash_kv(cgrpc_call *_Nonnull call, int64_t revision, cgrpc_hash_kv_fields *_Nonnull fields,
                              cgrpc_error *_Nullable *_Nonnull error);

/// Cluster.MemberList; if `linearizable` it needs a quorum (etcd 3.5 and later).
bool cgrpc_call_fetch_members(cgrpc_call *_Nonnull call, bool linearizable, cgrpc_header_fields *_Nonnull header,
                              size_t *_Nonnull member_count, cgrpc_error *_Nullable *_Nonnull error);
/// One of the fetched members.
void cgrpc_call_get_member(const cgrpc_call *_Nonnull call, size_t index, cgrpc_member_fields *_Nonnull fields);
/// One of the `peer_url_count` peer URLs of a fetched member.
const char *_Nonnull cgrpc_call_get_member_peer_url(const cgrpc_call *_Nonnull call, size_t member_index, size_t index);
/// One of the `client_url_count` client URLs of a fetched member.
const char *_Nonnull cgrpc_call_get_member_client_url(const cgrpc_call *_Nonnull call, size_t member_index,
                                                      size_t index);

/// Auth.Authenticate. The shim's copies of the password are wiped before this returns.
bool cgrpc_call_fetch_token(cgrpc_call *_Nonnull call, const char *_Nonnull user, const void *_Nonnull password,
                            size_t password_bytes, cgrpc_error *_Nullable *_Nonnull error);
/// The fetched token.
const char *_Nonnull cgrpc_call_get_token(const cgrpc_call *_Nonnull call);

/// Auth.AuthStatus (etcd 3.5 and later).
bool cgrpc_call_fetch_auth_status(cgrpc_call *_Nonnull call, cgrpc_auth_status_fields *_Nonnull fields,
                                  cgrpc_error *_Nullable *_Nonnull error);

/// KV.Range, which a quorum has to confirm.
bool cgrpc_call_fetch_range(cgrpc_call *_Nonnull call, const cgrpc_range_request *_Nonnull request,
                            cgrpc_range_fields *_Nonnull fields, cgrpc_error *_Nullable *_Nonnull error);
/// One of the fetched rows.
void cgrpc_call_get_key_value(const cgrpc_call *_Nonnull call, size_t index, cgrpc_key_value_fields *_Nonnull fields);

// Snapshots

/// What the first message of a snapshot says.
typedef struct cgrpc_snapshot_header {
    /// The size of the database file: this message's data and what it says is still to come. The 32 bytes of the
    /// SHA-256 that follow the data are not in it.
    uint64_t database_bytes;
    /// Empty before etcd 3.6. Borrowed from the stream.
    const char *_Null_unspecified storage_version;
} cgrpc_snapshot_header;

/// What a read of a snapshot came to.
typedef enum cgrpc_read_result {
    /// The buffer is full.
    CGRPC_READ_FULL = 0,
    /// The server ended the stream with the status OK; the count may still be above 0.
    CGRPC_READ_END = 1,
    /// A message without data arrived, which a server that lost its file sends forever; the count may still be above 0.
    CGRPC_READ_EMPTY_MESSAGE = 2,
    /// The stream failed; every further read fails likewise.
    CGRPC_READ_FAILED = 3,
} cgrpc_read_result;

/// Creates a stream that fails `timeout_ms` from now; other arguments as for a call.
cgrpc_snapshot_stream *_Nonnull cgrpc_snapshot_stream_create(cgrpc_channel *_Nonnull channel, int64_t timeout_ms,
                                                             const char *_Nullable token);
/// Begins the RPC and waits for its first message, at most `stall_timeout_ms`. Once, before any read.
bool cgrpc_snapshot_stream_open(cgrpc_snapshot_stream *_Nonnull stream, int64_t stall_timeout_ms,
                                cgrpc_snapshot_header *_Nonnull header, cgrpc_error *_Nullable *_Nonnull error);
/// Copies the next bytes of the stream into `buffer` until that is full or the result says otherwise.
///
/// The data of all messages follow each other without a mark between the database and the SHA-256 after it. Each
/// message is waited for at most `stall_timeout_ms`. While nothing is read the server is held back by HTTP/2's flow
/// control, so what is buffered is bounded. `count` is the number of bytes written, whatever the result.
cgrpc_read_result cgrpc_snapshot_stream_read(cgrpc_snapshot_stream *_Nonnull stream, void *_Nonnull buffer,
                                             size_t capacity, int64_t stall_timeout_ms, size_t *_Nonnull count,
                                             cgrpc_error *_Nullable *_Nonnull error);
/// Makes the open or read that is under way, and every later one, fail. From any thread.
void cgrpc_snapshot_stream_cancel(cgrpc_snapshot_stream *_Nonnull stream);
/// Ends the RPC if need be and frees the stream. Not while another thread uses or cancels it.
void cgrpc_snapshot_stream_destroy(cgrpc_snapshot_stream *_Nullable stream);

#ifdef __cplusplus
}
#endif

#endif
