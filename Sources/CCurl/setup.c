/* What is set for every request, and what of it. */
#include <string.h>

#include "handle.h"

#define SET(option, value)                                                     \
    do {                                                                       \
        CURLcode code = curl_easy_setopt(handle->easy, option, value);         \
        if (code != CURLE_OK) return code;                                     \
    } while (0)

/* Milliseconds between the attempts of two families of addresses (RFC 8305). */
enum { ATTEMPT_DELAY = 250, BUFFER_SIZE = 128 << 10 };

static CURLcode set_callbacks(ccurl_handle *handle) {
    SET(CURLOPT_WRITEFUNCTION, ccurl_take_body);
    SET(CURLOPT_WRITEDATA, handle);
    SET(CURLOPT_HEADERFUNCTION, ccurl_take_head);
    SET(CURLOPT_HEADERDATA, handle);
    SET(CURLOPT_READFUNCTION, ccurl_give_body);
    SET(CURLOPT_READDATA, handle);
    SET(CURLOPT_SEEKFUNCTION, ccurl_seek_body);
    SET(CURLOPT_SEEKDATA, handle);
    SET(CURLOPT_ERRORBUFFER, handle->message);
    /* Only so is it known whether a request was sent. */
    SET(CURLOPT_DEBUGFUNCTION, ccurl_observe);
    SET(CURLOPT_DEBUGDATA, handle);
    SET(CURLOPT_VERBOSE, 1L);
    return CURLE_OK;
}

static CURLcode set_protocol(ccurl_handle *handle) {
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* A lookup that hangs must not hold up the end of a cancelled request. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, (long)ATTEMPT_DELAY);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_SIZE);
    return CURLE_OK;
}

static CURLcode set_trust(ccurl_handle *handle, const ccurl_request *request) {
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    /* A distribution's libcurl brings its own places. */
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_PROXY_CAINFO, NULL);
    SET(CURLOPT_PROXY_CAPATH, NULL);
    SET(CURLOPT_CERTINFO, 1L);
    if (request->authorities == NULL) return CURLE_OK;
    struct curl_blob blob = {
        .data = (void *)request->authorities,
        .len = request->authorities_count,
        .flags = CURL_BLOB_NOCOPY,
    };
    SET(CURLOPT_CAINFO_BLOB, &blob);
    SET(CURLOPT_PROXY_CAINFO_BLOB, &blob);
    return CURLE_OK;
}

static CURLcode set_identity(ccurl_handle *handle, const ccurl_request *request) {
    if (request->certificate == NULL || request->key == NULL) return CURLE_OK;
    struct curl_blob certificate = {
        .data = (void *)request->certificate,
        .len = request->certificate_count,
        .flags = CURL_BLOB_NOCOPY,
    };
    struct curl_blob key = {
        .data = (void *)request->key,
        .len = request->key_count,
        .flags = CURL_BLOB_NOCOPY,
    };
    SET(CURLOPT_SSLCERTTYPE, "PEM");
    SET(CURLOPT_SSLKEYTYPE, "PEM");
    SET(CURLOPT_SSLCERT_BLOB, &certificate);
    SET(CURLOPT_SSLKEY_BLOB, &key);
    return CURLE_OK;
}

static CURLcode set_place(ccurl_handle *handle, const ccurl_request *request) {
    if (request->connect_to == NULL) return CURLE_OK;
    handle->places = curl_slist_append(NULL, request->connect_to);
    if (handle->places == NULL) return CURLE_OUT_OF_MEMORY;
    SET(CURLOPT_CONNECT_TO, handle->places);
    return CURLE_OK;
}

static CURLcode set_proxy(ccurl_handle *handle, const ccurl_request *request) {
    SET(CURLOPT_PROXY, request->proxy);
    /* Set, so that the environment's are not read. */
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    if (request->proxy_user != NULL) SET(CURLOPT_PROXYUSERNAME, request->proxy_user);
    if (request->proxy_password != NULL) SET(CURLOPT_PROXYPASSWORD, request->proxy_password);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    /* The proxy of an encrypted connection gets none of the request's header. */
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    return CURLE_OK;
}

static CURLcode set_times(ccurl_handle *handle, const ccurl_request *request) {
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout);
    SET(CURLOPT_TIMEOUT_MS, request->total_timeout);
    SET(CURLOPT_LOW_SPEED_LIMIT, request->stall_rate);
    SET(CURLOPT_LOW_SPEED_TIME, request->stall_seconds);
    SET(CURLOPT_FRESH_CONNECT, request->may_use_kept_connection ? 0L : 1L);
    return CURLE_OK;
}

static CURLcode add_field(ccurl_handle *handle, const char *line) {
    struct curl_slist *longer = curl_slist_append(handle->fields, line);
    if (longer == NULL) return CURLE_OUT_OF_MEMORY;
    handle->fields = longer;
    return CURLE_OK;
}

static CURLcode set_message(ccurl_handle *handle, const ccurl_request *request) {
    SET(CURLOPT_URL, request->url);
    if (request->user_agent != NULL) SET(CURLOPT_USERAGENT, request->user_agent);
    bool is_head = strcmp(request->method, "HEAD") == 0;
    if (is_head) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        if (request->body != NULL) {
            SET(CURLOPT_UPLOAD, 1L);
            SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_count);
        } else {
            SET(CURLOPT_HTTPGET, 1L);
        }
        SET(CURLOPT_CUSTOMREQUEST, request->method);
    }
    /* Without "Expect: 100-continue", which costs a second where a server does not know it. */
    CURLcode code = add_field(handle, "Expect:");
    for (size_t index = 0; code == CURLE_OK && index < request->field_count; index++) {
        code = add_field(handle, request->fields[index]);
    }
    if (code != CURLE_OK) return code;
    SET(CURLOPT_HTTPHEADER, handle->fields);
    return CURLE_OK;
}

/* What failed before a connection was there keeps its buffer, and the size of one that exists can't be set (libcurl 7.88:
   CURLE_BAD_FUNCTION_ARGUMENT of CURLOPT_BUFFERSIZE). Kept connections are of the multi handle. */
static CURLcode begin_anew(ccurl_handle *handle) {
    if (handle->code == CURLE_OK) {
        curl_easy_reset(handle->easy);
        return CURLE_OK;
    }
    CURL *easy = curl_easy_init();
    if (easy == NULL) return CURLE_OUT_OF_MEMORY;
    curl_easy_cleanup(handle->easy);
    handle->easy = easy;
    return CURLE_OK;
}

CURLcode ccurl_set_up(ccurl_handle *handle, const ccurl_request *request) {
    CURLcode code = begin_anew(handle);
    if (code == CURLE_OK) code = set_callbacks(handle);
    if (code == CURLE_OK) code = set_protocol(handle);
    if (code == CURLE_OK) code = set_trust(handle, request);
    if (code == CURLE_OK) code = set_identity(handle, request);
    if (code == CURLE_OK) code = set_place(handle, request);
    if (code == CURLE_OK) code = set_proxy(handle, request);
    if (code == CURLE_OK) code = set_times(handle, request);
    if (code == CURLE_OK) code = set_message(handle, request);
    return code;
}
