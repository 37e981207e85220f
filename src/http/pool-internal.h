#pragma once

/* What the files of the pool share. Nobody outside of http/ includes this. */

#include "http/curl.h"
#include "http/pool.h"

/* How far a transfer has come; each stage is a list of the pool. */
typedef enum TransferStage {
        TRANSFER_WAITING,
        TRANSFER_UNDER_WAY, /* curl has it */
        TRANSFER_FINISHED,  /* done() is to be called */
        _TRANSFER_STAGE_MAX,
} TransferStage;

typedef struct TransferList {
        HttpTransfer *head, **tail;
} TransferList;

struct HttpTransfer {
        HttpPool *pool;
        HttpTransfer *next, **prev; /* in the list of its stage */
        TransferStage stage;
        bool has_slot; /* counts as in flight, until done() is called */
        bool may_repeat;

        CURL *curl; /* NULL once finished */
        HeaderLines lines;
        void *body; /* owned: of the request */
        char *where;

        unsigned n_requests; /* how often curl was about to send */
        size_t head_size;    /* of the answer's headers so far */
        bool head_is_whole, head_too_large, body_too_large, out_of_memory;
        int watch_error; /* its descriptor could not be watched */
        bool is_idle;    /* connects, and has no descriptor any more */
        Buffer answer;
        char error[CURL_ERROR_SIZE];
        char message[CURL_ERROR_SIZE + 320];

        HttpPoolResult result;
        void (*done)(const HttpPoolResult *result, void *userdata);
        void *userdata;
};

typedef struct PoolSocket PoolSocket;

struct HttpPool {
        sd_event *loop;
        CURLM *multi;
        char *ca_file;
        sd_event_source *timer, *finished;
        TransferList stages[_TRANSFER_STAGE_MAX];
        unsigned max_in_flight, max_waiting, n_in_flight, n_transfers;
        PoolSocket *sockets;
        bool has_idle; /* perhaps: one of those under way */
        bool freeing;
};

/* transfer.c: one request and its answer */
int transfer_new(HttpPool *p, const HttpPoolRequest *q, HttpTransfer **ret);
HttpTransfer *transfer_free(HttpTransfer *t);
DEFINE_CLEANUP(HttpTransfer *, transfer_free)

/* Fills the result: `code` is curl's, or `error` is why it ended without curl (0: it didn't). */
void transfer_set_result(HttpTransfer *t, CURLcode code, int error);

/* pool-loop.c: curl's descriptors and timer on the loop */
int pool_watch(HttpPool *p);
void pool_unwatch(HttpPool *p);
curl_socket_t pool_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address);

/* Has curl look at all it has, where one connects and waits for nothing. */
CURLMcode pool_rouse(HttpPool *p);

/* pool.c: curl has something to do, or to tell */
void pool_drive(HttpPool *p, curl_socket_t fd, int events);
