#ifndef CCURL_HANDLE_H
#define CCURL_HANDLE_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "ccurl.h"

struct ccurl_handle {
    CURL *easy;
    /* Of this handle alone: connections are kept in it, and it can be woken up. */
    CURLM *multi;
    struct curl_slist *fields;
    struct curl_slist *places;
    const ccurl_request *request;
    size_t sent_body_count;
    size_t sent_request_count;
    atomic_bool is_cancelled;
    bool is_added;
    bool is_complete;
    bool is_paused;
    bool is_head_too_large;
    CURLcode code;
    char message[CURL_ERROR_SIZE];

    char *head;
    size_t head_count;
    size_t head_capacity;

    uint8_t *buffer;
    size_t buffer_count;
    size_t buffer_capacity;
    /* What libcurl hands over at once and does not fit into the buffer. */
    uint8_t rest[CURL_MAX_WRITE_SIZE];
    size_t rest_start;
    size_t rest_end;
};

/* Sets everything about a request; the callbacks are those of transfer.c. */
CURLcode ccurl_set_up(ccurl_handle *handle, const ccurl_request *request);

/* What libcurl calls, see CURLOPT_WRITEFUNCTION, HEADERFUNCTION, READFUNCTION, SEEKFUNCTION, DEBUGFUNCTION. */
size_t ccurl_take_body(char *bytes, size_t size, size_t count, void *context);
size_t ccurl_take_head(char *bytes, size_t size, size_t count, void *context);
size_t ccurl_give_body(char *buffer, size_t size, size_t count, void *context);
int ccurl_seek_body(void *context, curl_off_t offset, int origin);
int ccurl_observe(CURL *easy, curl_infotype type, char *bytes, size_t count, void *context);

#endif
