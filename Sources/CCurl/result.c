/* What became of a transfer. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "handle.h"

static ccurl_failure failure(const ccurl_handle *handle) {
    switch (handle->code) {
    case CURLE_OK: return CCURL_NOTHING_FAILED;
    case CURLE_COULDNT_RESOLVE_HOST: return CCURL_NAME;
    case CURLE_COULDNT_RESOLVE_PROXY: return CCURL_PROXY_NAME;
    case CURLE_COULDNT_CONNECT: return CCURL_CONNECTION;
    case CURLE_PROXY: return CCURL_PROXY;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR: return CCURL_CERTIFICATE;
    case CURLE_SSL_CACERT_BADFILE: return CCURL_AUTHORITIES;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED: return CCURL_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND: return CCURL_TRAFFIC;
    case CURLE_OPERATION_TIMEDOUT: return CCURL_TIME;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING: return CCURL_PROTOCOL;
    case CURLE_WRITE_ERROR: return handle->is_head_too_large ? CCURL_HEAD_SIZE : CCURL_OTHER;
    case CURLE_ABORTED_BY_CALLBACK: return CCURL_CANCELLATION;
    case CURLE_OUT_OF_MEMORY: return CCURL_MEMORY;
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT: return CCURL_REQUEST;
    default: return CCURL_OTHER;
    }
}

static long number(ccurl_handle *handle, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(handle->easy, info, &value) == CURLE_OK ? value : 0;
}

static int64_t large_number(ccurl_handle *handle, CURLINFO info) {
    curl_off_t value = 0;
    return curl_easy_getinfo(handle->easy, info, &value) == CURLE_OK ? (int64_t)value : 0;
}

void ccurl_get_result(ccurl_handle *handle, ccurl_result *result) {
    memset(result, 0, sizeof *result);
    result->failure = failure(handle);
    result->code = (int)handle->code;
    const char *message = handle->message[0] != 0 ? handle->message : curl_easy_strerror(handle->code);
    snprintf(result->message, sizeof result->message, "%s", message);
    result->system_error = number(handle, CURLINFO_OS_ERRNO);
    result->certificate_error = number(handle, CURLINFO_SSL_VERIFYRESULT);
    result->proxy_certificate_error = number(handle, CURLINFO_PROXY_SSL_VERIFYRESULT);
    result->proxy_status = number(handle, CURLINFO_HTTP_CONNECTCODE);
    result->sent_request_count = handle->sent_request_count;
    result->connection_count = number(handle, CURLINFO_NUM_CONNECTS);
    char *address = NULL;
    if (curl_easy_getinfo(handle->easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address != NULL) {
        snprintf(result->address, sizeof result->address, "%s", address);
    }
    result->port = number(handle, CURLINFO_PRIMARY_PORT);
    result->lookup_time = large_number(handle, CURLINFO_NAMELOOKUP_TIME_T);
    result->connect_time = large_number(handle, CURLINFO_CONNECT_TIME_T);
    result->total_time = large_number(handle, CURLINFO_TOTAL_TIME_T);
    result->sent_byte_count = large_number(handle, CURLINFO_SIZE_UPLOAD_T);
    result->received_byte_count = large_number(handle, CURLINFO_SIZE_DOWNLOAD_T);
}

void ccurl_copy_certificate_names(ccurl_handle *handle, char *buffer, size_t capacity) {
    static const char label[] = "X509v3 Subject Alternative Name:";
    buffer[0] = 0;
    struct curl_certinfo *information = NULL;
    if (curl_easy_getinfo(handle->easy, CURLINFO_CERTINFO, &information) != CURLE_OK) return;
    if (information == NULL || information->num_of_certs < 1) return;
    for (struct curl_slist *line = information->certinfo[0]; line != NULL; line = line->next) {
        if (strncasecmp(line->data, label, sizeof label - 1) == 0) {
            snprintf(buffer, capacity, "%s", line->data + sizeof label - 1);
            return;
        }
    }
}
