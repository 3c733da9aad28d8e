/* A handle, and how its transfer is driven. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "handle.h"

/* Connections of one handle that are kept, and milliseconds after which a wait looks around, though it was not woken. */
enum { KEPT_CONNECTION_COUNT = 4, WAIT = 1000 };

/* libcurl would write the keys of each connection to the file that this names; while the program is loaded there is one
   thread, and nobody else reads the environment. */
__attribute__((constructor)) static void forget_key_log(void) { (void)unsetenv("SSLKEYLOGFILE"); }

bool ccurl_initialize(void) { return curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK; }

const char *ccurl_version(void) { return curl_version(); }

/* What libssl writes to a closed connection must not end the process, and libcurl leaves the signal alone (NOSIGNAL). */
typedef struct {
    sigset_t mask;
    bool was_pending;
} signal_guard;

static void pipe_signal(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

static void hold_signals(signal_guard *guard) {
    sigset_t pending, pipe;
    sigpending(&pending);
    guard->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pipe_signal(&pipe);
    pthread_sigmask(SIG_BLOCK, &pipe, &guard->mask);
}

static void release_signals(const signal_guard *guard) {
    sigset_t pending, pipe;
    sigpending(&pending);
    pipe_signal(&pipe);
    struct timespec now = {0};
    if (!guard->was_pending && sigismember(&pending, SIGPIPE) == 1) (void)sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &guard->mask, NULL);
}

ccurl_handle *ccurl_create(void) {
    ccurl_handle *handle = calloc(1, sizeof *handle);
    if (handle == NULL) return NULL;
    handle->easy = curl_easy_init();
    handle->multi = curl_multi_init();
    if (handle->easy == NULL || handle->multi == NULL
        || curl_multi_setopt(handle->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTION_COUNT) != CURLM_OK) {
        ccurl_destroy(handle);
        return NULL;
    }
    return handle;
}

void ccurl_destroy(ccurl_handle *handle) {
    signal_guard guard;
    hold_signals(&guard);
    ccurl_end(handle);
    if (handle->easy != NULL) curl_easy_cleanup(handle->easy);
    if (handle->multi != NULL) curl_multi_cleanup(handle->multi);
    release_signals(&guard);
    free(handle->head);
    free(handle);
}

ccurl_state ccurl_begin(ccurl_handle *handle, const ccurl_request *request) {
    handle->request = request;
    handle->sent_body_count = handle->sent_request_count = 0;
    handle->head_count = 0;
    handle->rest_start = handle->rest_end = 0;
    handle->buffer = NULL;
    handle->buffer_count = handle->buffer_capacity = 0;
    handle->is_complete = handle->is_paused = handle->is_head_too_large = false;
    handle->message[0] = 0;
    atomic_store(&handle->is_cancelled, false);
    handle->code = ccurl_set_up(handle, request);
    if (handle->code == CURLE_OK && curl_multi_add_handle(handle->multi, handle->easy) != CURLM_OK) {
        handle->code = CURLE_OUT_OF_MEMORY;
    }
    handle->is_added = handle->code == CURLE_OK;
    return handle->is_added ? CCURL_GOES_ON : CCURL_FAILED;
}

static bool is_over(const ccurl_handle *handle) { return handle->is_complete || handle->code != CURLE_OK; }

static ccurl_state state(const ccurl_handle *handle) {
    return handle->code != CURLE_OK ? CCURL_FAILED : handle->is_complete ? CCURL_COMPLETE : CCURL_GOES_ON;
}

static void note_end(ccurl_handle *handle) {
    int count = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(handle->multi, &count)) != NULL;) {
        if (message->msg != CURLMSG_DONE) continue;
        handle->code = message->data.result;
        handle->is_complete = true;
    }
}

/* Goes on with the transfer until there are bytes or it is over. */
static void drive(ccurl_handle *handle) {
    signal_guard guard;
    hold_signals(&guard);
    if (handle->is_paused) {
        handle->is_paused = false;
        CURLcode code = curl_easy_pause(handle->easy, CURLPAUSE_CONT);
        if (code != CURLE_OK) handle->code = code;
    }
    while (!is_over(handle) && handle->buffer_count == 0 && handle->rest_start == handle->rest_end) {
        int running = 0;
        CURLMcode code = CURLM_OK;
        if (atomic_load(&handle->is_cancelled)) {
            handle->code = CURLE_ABORTED_BY_CALLBACK;
            break;
        }
        code = curl_multi_perform(handle->multi, &running);
        if (code == CURLM_OK && running == 0) note_end(handle);
        if (code == CURLM_OK && running != 0 && handle->buffer_count == 0 && handle->rest_start == handle->rest_end) {
            code = curl_multi_poll(handle->multi, NULL, 0, WAIT, NULL);
        }
        if (code != CURLM_OK) {
            handle->code = code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT;
        }
    }
    release_signals(&guard);
}

ccurl_state ccurl_wait(ccurl_handle *handle) {
    drive(handle);
    return handle->rest_start < handle->rest_end ? CCURL_GOES_ON : state(handle);
}

const char *ccurl_head(ccurl_handle *handle, size_t *count) {
    *count = handle->head_count;
    return handle->head == NULL ? "" : handle->head;
}

ccurl_state ccurl_receive(ccurl_handle *handle, uint8_t *buffer, size_t capacity, size_t *count) {
    size_t rest_count = handle->rest_end - handle->rest_start;
    *count = rest_count < capacity ? rest_count : capacity;
    if (rest_count > 0) {
        memcpy(buffer, handle->rest + handle->rest_start, *count);
        handle->rest_start += *count;
        return CCURL_GOES_ON;
    }
    handle->buffer = buffer;
    handle->buffer_capacity = capacity;
    handle->buffer_count = 0;
    if (!is_over(handle)) drive(handle);
    *count = handle->buffer_count;
    handle->buffer = NULL;
    handle->buffer_count = handle->buffer_capacity = 0;
    return *count > 0 ? CCURL_GOES_ON : state(handle);
}

void ccurl_end(ccurl_handle *handle) {
    if (handle->is_added) {
        signal_guard guard;
        hold_signals(&guard);
        curl_multi_remove_handle(handle->multi, handle->easy);
        release_signals(&guard);
        handle->is_added = false;
    }
    curl_slist_free_all(handle->fields);
    handle->fields = NULL;
    curl_slist_free_all(handle->places);
    handle->places = NULL;
    handle->request = NULL;
}

void ccurl_cancel(ccurl_handle *handle) {
    atomic_store(&handle->is_cancelled, true);
    (void)curl_multi_wakeup(handle->multi);
}

size_t ccurl_take_body(char *bytes, size_t size, size_t count, void *context) {
    ccurl_handle *handle = context;
    size_t all = size * count;
    if (handle->rest_start < handle->rest_end) {
        handle->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    size_t room = handle->buffer_capacity - handle->buffer_count;
    size_t fitting = all < room ? all : room;
    if (all - fitting > sizeof handle->rest) return 0;
    if (fitting > 0) memcpy(handle->buffer + handle->buffer_count, bytes, fitting);
    handle->buffer_count += fitting;
    memcpy(handle->rest, bytes + fitting, all - fitting);
    handle->rest_start = 0;
    handle->rest_end = all - fitting;
    return all;
}

size_t ccurl_take_head(char *bytes, size_t size, size_t count, void *context) {
    ccurl_handle *handle = context;
    size_t all = size * count;
    /* Each response begins with its status: those before it were interim ones. */
    if (all > 5 && memcmp(bytes, "HTTP/", 5) == 0) handle->head_count = 0;
    if (all > handle->request->max_head_count - handle->head_count) {
        handle->is_head_too_large = true;
        return 0;
    }
    if (handle->head_count + all > handle->head_capacity) {
        size_t capacity = 2 * (handle->head_count + all);
        char *larger = realloc(handle->head, capacity);
        if (larger == NULL) return 0;
        handle->head = larger;
        handle->head_capacity = capacity;
    }
    memcpy(handle->head + handle->head_count, bytes, all);
    handle->head_count += all;
    return all;
}

size_t ccurl_give_body(char *buffer, size_t size, size_t count, void *context) {
    ccurl_handle *handle = context;
    size_t capacity = size * count, left = handle->request->body_count - handle->sent_body_count;
    size_t given = left < capacity ? left : capacity;
    memcpy(buffer, handle->request->body + handle->sent_body_count, given);
    handle->sent_body_count += given;
    return given;
}

int ccurl_seek_body(void *context, curl_off_t offset, int origin) {
    ccurl_handle *handle = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > handle->request->body_count) return CURL_SEEKFUNC_FAIL;
    handle->sent_body_count = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

int ccurl_observe(CURL *easy, curl_infotype type, char *bytes, size_t count, void *context) {
    (void)easy;
    ccurl_handle *handle = context;
    if (type != CURLINFO_HEADER_OUT || handle->request == NULL) return 0;
    /* The head may come in pieces; a proxy's CONNECT is none of ours. */
    size_t length = strlen(handle->request->method);
    if (count > length && memcmp(bytes, handle->request->method, length) == 0 && bytes[length] == ' ') {
        handle->sent_request_count++;
    }
    return 0;
}
