#ifndef CCURL_H
#define CCURL_H

/*
 * One HTTP/1.1 request at a time over libcurl (7.87 or later), whose variadic functions Swift can't call.
 *
 * A handle keeps its connections from one request to the next. It has one owner and one user at a time, but for
 * ccurl_cancel, which any thread may call while the handle is there. A transfer runs within the calls that wait for it, on
 * the caller's thread, and nothing is called back: ccurl_begin, ccurl_wait, ccurl_head, ccurl_receive until the end,
 * ccurl_result, ccurl_end.
 *
 * What never changes is set here: certificates and names are verified, TLS 1.2 at the least, HTTP/1.1, no redirects, no
 * cookies, no .netrc, no proxy but the one that is given, paths as they are written, no signals, no file of the keys of
 * connections (SSLKEYLOGFILE).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/* A handle with its connections. */
typedef struct ccurl_handle ccurl_handle;

/* What is asked for; everything in it must stay where it is until ccurl_end. */
typedef struct {
    const char *method;
    const char *url;
    /* Header lines as CURLOPT_HTTPHEADER takes them: "Name: value", "Name;" without a value, "Name:" for none. */
    const char *_Nonnull const *_Nonnull fields;
    size_t field_count;
    /* The body; NULL sends none, not even a length. */
    const uint8_t *_Nullable body;
    size_t body_count;
    /* PEM of the authorities that are trusted; NULL trusts nobody. */
    const uint8_t *_Nullable authorities;
    size_t authorities_count;
    /* PEM of the certificate that this side proves itself with, and of its key; NULL for none. Neither is copied by libcurl;
       the certificate may be, with the connection. */
    const uint8_t *_Nullable certificate;
    size_t certificate_count;
    const uint8_t *_Nullable key;
    size_t key_count;
    /* "::HOST:PORT", where every connection leads instead of the URL's host and port, which are still what a server's
       certificate must be for; NULL for the URL's own. */
    const char *_Nullable connect_to;
    /* The proxy as a URL without user, "" for none. */
    const char *proxy;
    const char *_Nullable proxy_user;
    const char *_Nullable proxy_password;
    const char *_Nullable user_agent;
    /* Milliseconds; 0 for total_timeout sets no limit. */
    long connect_timeout;
    long total_timeout;
    /* The transfer ends when it was slower than so many bytes a second for so many seconds; 0 seconds set no limit. */
    long stall_rate;
    long stall_seconds;
    /* The most bytes of a response's head. */
    size_t max_head_count;
    /* Whether a connection of an earlier request may be used. */
    bool may_use_kept_connection;
} ccurl_request;

/* How a transfer goes on. */
typedef enum {
    /* There are bytes, or there is a head. */
    CCURL_GOES_ON = 0,
    /* The response is complete. */
    CCURL_COMPLETE = 1,
    /* It failed; ccurl_result says how. */
    CCURL_FAILED = 2,
} ccurl_state;

/* What failed, of the codes that libcurl knows. */
typedef enum {
    CCURL_NOTHING_FAILED,
    CCURL_NAME,
    CCURL_PROXY_NAME,
    CCURL_CONNECTION,
    CCURL_PROXY,
    CCURL_CERTIFICATE,
    CCURL_AUTHORITIES,
    CCURL_TLS,
    CCURL_TRAFFIC,
    CCURL_TIME,
    CCURL_PROTOCOL,
    CCURL_HEAD_SIZE,
    CCURL_CANCELLATION,
    CCURL_MEMORY,
    CCURL_REQUEST,
    CCURL_OTHER,
} ccurl_failure;

/* What became of a transfer; durations in microseconds since its beginning, 0 for what was not reached. */
typedef struct {
    ccurl_failure failure;
    /* libcurl's code and words; the words may be empty. */
    int code;
    char message[256];
    /* errno of the connection's last failed call, 0 for none. */
    long system_error;
    /* X.509 verification errors of the server and of a proxy, 0 for none. */
    long certificate_error;
    long proxy_certificate_error;
    /* The proxy's answer to CONNECT, 0 for none. */
    long proxy_status;
    /* How often a request was sent, wholly or in part: more than once after a kept connection turned out to be dead. */
    size_t sent_request_count;
    /* How many connections were made for it. */
    long connection_count;
    /* The address at the other end, of a proxy if there is one; empty for none. */
    char address[64];
    long port;
    int64_t lookup_time;
    int64_t connect_time;
    int64_t total_time;
    /* Bytes of bodies. */
    int64_t sent_byte_count;
    int64_t received_byte_count;
} ccurl_result;

/* Prepares libcurl; to be called once, before anything else, by one thread. Nothing is undone at exit.
   Returns false if it can't. */
bool ccurl_initialize(void);

/* libcurl's version and what it was built with. */
const char *ccurl_version(void);

/* A handle without connections; NULL for want of memory. The caller owns it. */
ccurl_handle *_Nullable ccurl_create(void);

/* Closes the connections and frees the handle. */
void ccurl_destroy(ccurl_handle *handle);

/* Begins a request; the one before must have ended. Returns CCURL_GOES_ON or CCURL_FAILED; ccurl_end is due for both. */
ccurl_state ccurl_begin(ccurl_handle *handle, const ccurl_request *request);

/* Waits until the head of the response is complete: the first byte of the body is there, or there is none. */
ccurl_state ccurl_wait(ccurl_handle *handle);

/* The lines of the last response's head, with those of its trailer if it is complete; valid until the next call. */
const char *ccurl_head(ccurl_handle *handle, size_t *count);

/* Waits for bytes of the body and writes at least one of them to the buffer, which must not be empty; sets their number.
   While nobody calls this, the sender is held back. */
ccurl_state ccurl_receive(ccurl_handle *handle, uint8_t *buffer, size_t capacity, size_t *count);

/* What became of the transfer so far. */
void ccurl_get_result(ccurl_handle *handle, ccurl_result *result);

/* Copies the names that the server's certificate is for, as libcurl prints them, cut to the capacity. Empty when it was not
   seen, that is always on a kept connection. */
void ccurl_copy_certificate_names(ccurl_handle *handle, char *buffer, size_t capacity);

/* Ends the request. Its connection is kept if the response is complete, and closed otherwise. */
void ccurl_end(ccurl_handle *handle);

/* Makes the transfer that runs fail with CCURL_CANCELLATION, at once. May be called from any thread between ccurl_begin and
   ccurl_end; without effect on later requests. */
void ccurl_cancel(ccurl_handle *handle);

#pragma clang assume_nonnull end

#endif
