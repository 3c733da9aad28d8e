#include <string.h>

#include <memory>
#include <utility>

#include "cgrpc_shim.h"
#include "generated/etcd.pb.h"
#include "rpc.h"

struct cgrpc_call {
    cgrpc_call(cgrpc_channel &channel, cgrpc_method method, const char *path, int64_t timeout_ms, const char *token)
        : method(method), rpc(channel, path, timeout_ms, token) {}

    cgrpc_method method;
    cgrpc::Rpc rpc;
    std::unique_ptr<google::protobuf::MessageLite> response;
};

namespace {

using namespace etcdserverpb;
using google::protobuf::MessageLite;

const char *path_of(cgrpc_method method) {
    switch (method) {
        case CGRPC_METHOD_STATUS: return "/etcdserverpb.Maintenance/Status";
        case CGRPC_METHOD_ALARMS: return "/etcdserverpb.Maintenance/Alarm";
        case CGRPC_METHOD_HASH_KV: return "/etcdserverpb.Maintenance/HashKV";
        case CGRPC_METHOD_MEMBERS: return "/etcdserverpb.Cluster/MemberList";
        case CGRPC_METHOD_AUTHENTICATE: return "/etcdserverpb.Auth/Authenticate";
        case CGRPC_METHOD_AUTH_STATUS: return "/etcdserverpb.Auth/AuthStatus";
        case CGRPC_METHOD_RANGE: return "/etcdserverpb.KV/Range";
    }
    return "";
}

/// Makes the call; null and an error if it fails. The status of the server takes precedence over what it sent.
template <typename Response>
Response *fetch(cgrpc_call &call, cgrpc_method method, const MessageLite &request, cgrpc_error **error) {
    if (call.method != method || call.rpc.was_begun() || !call.rpc.has_legal_token()) {
        const char *reason = call.rpc.has_legal_token() ? "the call is for something else or was made before"
                                                        : "the token is no valid metadata";
        *error = call.rpc.error(CGRPC_ERROR_ARGUMENT, reason).release();
        return nullptr;
    }
    cgrpc::ByteBuffer message;
    // The deadline is that of the call; there is no other.
    call.rpc.begin(request, method == CGRPC_METHOD_AUTHENTICATE, gpr_inf_future(GPR_CLOCK_MONOTONIC), message);
    std::unique_ptr<cgrpc_error> failure = call.rpc.finish();
    auto response = std::make_unique<Response>();
    if (failure == nullptr) {
        bool is_parsed = false;
        if (message != nullptr) {
            cgrpc::ByteBufferStream stream(message.get());
            is_parsed = response->ParseFromZeroCopyStream(&stream);
        }
        if (!is_parsed) failure = call.rpc.error(CGRPC_ERROR_MALFORMED, "the response is not the expected message");
    }
    if (failure != nullptr) {
        *error = failure.release();
        return nullptr;
    }
    Response *result = response.get();
    call.response = std::move(response);
    return result;
}

template <typename Response>
const Response &fetched(const cgrpc_call *call) {
    return static_cast<const Response &>(*call->response);
}

cgrpc_header_fields fields_of(const ResponseHeader &header) {
    return {header.cluster_id(), header.member_id(), header.revision(), header.raft_term()};
}

}  // namespace

cgrpc_call *cgrpc_call_create(cgrpc_channel *channel, cgrpc_method method, int32_t timeout_ms, const char *token) {
    return new cgrpc_call(*channel, method, path_of(method), timeout_ms, token);
}

void cgrpc_call_cancel(cgrpc_call *call) { call->rpc.cancel(); }

void cgrpc_call_destroy(cgrpc_call *call) { delete call; }

bool cgrpc_call_fetch_status(cgrpc_call *call, cgrpc_status_fields *fields, cgrpc_error **error) {
    const auto *status = fetch<StatusResponse>(*call, CGRPC_METHOD_STATUS, StatusRequest(), error);
    if (status == nullptr) return false;
    fields->header = fields_of(status->header());
    fields->version = status->version().c_str();
    fields->db_size_bytes = status->db_size();
    fields->db_size_in_use_bytes = status->db_size_in_use();
    fields->leader_id = status->leader();
    fields->raft_index = status->raft_index();
    fields->raft_term = status->raft_term();
    fields->raft_applied_index = status->raft_applied_index();
    fields->is_learner = status->is_learner();
    fields->storage_version = status->storage_version().c_str();
    fields->db_size_quota_bytes = status->db_size_quota();
    fields->error_count = static_cast<size_t>(status->errors_size());
    return true;
}

const char *cgrpc_call_get_status_error(const cgrpc_call *call, size_t index) {
    return fetched<StatusResponse>(call).errors(static_cast<int>(index)).c_str();
}

bool cgrpc_call_fetch_alarms(cgrpc_call *call, size_t *alarm_count, cgrpc_error **error) {
    const auto *response = fetch<AlarmResponse>(*call, CGRPC_METHOD_ALARMS, AlarmRequest(), error);
    if (response == nullptr) return false;
    *alarm_count = static_cast<size_t>(response->alarms_size());
    return true;
}

void cgrpc_call_get_alarm(const cgrpc_call *call, size_t index, cgrpc_alarm_fields *fields) {
    const AlarmMember &alarm = fetched<AlarmResponse>(call).alarms(static_cast<int>(index));
    *fields = {alarm.member_id(), static_cast<int32_t>(alarm.alarm())};
}

bool cgrpc_call_fetch_hash_kv(cgrpc_call *call, int64_t revision, cgrpc_hash_kv_fields *fields, cgrpc_error **error) {
    HashKVRequest request;
    request.set_revision(revision);
    const auto *response = fetch<HashKVResponse>(*call, CGRPC_METHOD_HASH_KV, request, error);
    if (response == nullptr) return false;
    *fields = {fields_of(response->header()), response->hash(), response->compact_revision(),
               response->hash_revision()};
    return true;
}

bool cgrpc_call_fetch_members(cgrpc_call *call, bool linearizable, cgrpc_header_fields *header, size_t *member_count,
                              cgrpc_error **error) {
    MemberListRequest request;
    request.set_linearizable(linearizable);
    const auto *response = fetch<MemberListResponse>(*call, CGRPC_METHOD_MEMBERS, request, error);
    if (response == nullptr) return false;
    *header = fields_of(response->header());
    *member_count = static_cast<size_t>(response->members_size());
    return true;
}

void cgrpc_call_get_member(const cgrpc_call *call, size_t index, cgrpc_member_fields *fields) {
    const Member &member = fetched<MemberListResponse>(call).members(static_cast<int>(index));
    *fields = {member.id(), member.name().c_str(), member.is_learner(), static_cast<size_t>(member.peer_urls_size()),
               static_cast<size_t>(member.client_urls_size())};
}

const char *cgrpc_call_get_member_peer_url(const cgrpc_call *call, size_t member_index, size_t index) {
    const Member &member = fetched<MemberListResponse>(call).members(static_cast<int>(member_index));
    return member.peer_urls(static_cast<int>(index)).c_str();
}

const char *cgrpc_call_get_member_client_url(const cgrpc_call *call, size_t member_index, size_t index) {
    const Member &member = fetched<MemberListResponse>(call).members(static_cast<int>(member_index));
    return member.client_urls(static_cast<int>(index)).c_str();
}

bool cgrpc_call_fetch_token(cgrpc_call *call, const char *user, const void *password, size_t password_bytes,
                            cgrpc_error **error) {
    AuthenticateRequest request;
    request.set_name(user);
    request.set_password(static_cast<const char *>(password), password_bytes);
    const auto *response = fetch<AuthenticateResponse>(*call, CGRPC_METHOD_AUTHENTICATE, request, error);
    std::string &copy = *request.mutable_password();
    explicit_bzero(copy.data(), copy.size());
    return response != nullptr;
}

const char *cgrpc_call_get_token(const cgrpc_call *call) {
    return fetched<AuthenticateResponse>(call).token().c_str();
}

bool cgrpc_call_fetch_auth_status(cgrpc_call *call, cgrpc_auth_status_fields *fields, cgrpc_error **error) {
    const auto *response = fetch<AuthStatusResponse>(*call, CGRPC_METHOD_AUTH_STATUS, AuthStatusRequest(), error);
    if (response == nullptr) return false;
    *fields = {response->enabled(), response->auth_revision()};
    return true;
}

bool cgrpc_call_fetch_range(cgrpc_call *call, const cgrpc_range_request *range, cgrpc_range_fields *fields,
                            cgrpc_error **error) {
    RangeRequest request;
    request.set_key(range->key, range->key_bytes);
    request.set_range_end(range->range_end, range->range_end_bytes);
    request.set_limit(range->limit);
    request.set_revision(range->revision);
    const auto *response = fetch<RangeResponse>(*call, CGRPC_METHOD_RANGE, request, error);
    if (response == nullptr) return false;
    *fields = {fields_of(response->header()), static_cast<size_t>(response->kvs_size()), response->count(),
               response->more()};
    return true;
}

void cgrpc_call_get_key_value(const cgrpc_call *call, size_t index, cgrpc_key_value_fields *fields) {
    const KeyValue &row = fetched<RangeResponse>(call).kvs(static_cast<int>(index));
    *fields = {row.key().data(), row.key().size(), row.value().data(), row.value().size(), row.create_revision(),
               row.mod_revision(), row.version(), row.lease()};
}
