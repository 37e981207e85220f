/*
 * What HTTP alone costs: the server library set as the receiver sets it (epoll from outside, one thread, the
 * same memory, backlog and strictness: src/http/server.c, listen.c), with nothing behind it.
 *
 *   drop    reads the body and forgets it, then answers as the receiver would
 *   parse   collects the body, has jansson parse it, answers with the task's id; nothing is stored. The
 *           receiver has a reader of its own: this is for comparison
 *   refuse  answers 401 before anything of the body is read; the library closes the connection then
 *
 * It says its port in the first line of its output and runs until it is killed.
 */

#include <arpa/inet.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "basic/buffer.h"
#include "basic/macros.h"

#define MEMORY_PER_CONNECTION ((size_t)33 * 1024)
#define BODY_MAX              ((size_t)8 * 1024 * 1024)
#define BACKLOG               4096

typedef struct Request {
        Buffer body;
} Request;

typedef enum Mode { DROP, PARSE, REFUSE } Mode;

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *text)
{
        struct MHD_Response *response;
        enum MHD_Result ok;

        response = MHD_create_response_from_buffer(
                        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
        if (!response)
                return MHD_NO;
        ok = MHD_add_response_header(response, "Content-Type", "application/json");
        if (ok == MHD_YES)
                ok = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return ok;
}

static enum MHD_Result reply_parsed(struct MHD_Connection *connection, const Request *r)
{
        json_auto_t *root = NULL;
        const char *id;
        char text[256];

        root = json_loadb((const char *)r->body.data, r->body.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                        NULL);
        id = json_string_value(json_object_get(root, "task_id"));
        if (!id)
                return reply(connection, 400, "{}");
        snprintf(text, sizeof(text), "{\"result\":\"stored\",\"task_id\":\"%.64s\",\"delivery\":123456}",
                        id);
        return reply(connection, 200, text);
}

static enum MHD_Result on_call(void *userdata, struct MHD_Connection *connection, _unused_ const char *url,
                _unused_ const char *method, _unused_ const char *version, const char *upload,
                size_t *upload_size, void **request)
{
        static const char answer[] = "{\"result\":\"stored\",\"task_id\":\"576ba74eec471ff9b01557cc\","
                                     "\"delivery\":123456}";
        static const char refusal[] = "{\"status_code\":401,\"error\":\"The key is missing or wrong.\"}";
        const Mode *mode = userdata;
        Request *r = *request;

        if (!r) {
                if (*mode == REFUSE)
                        return reply(connection, 401, refusal);
                r = calloc(1, sizeof(Request));
                if (!r)
                        return MHD_NO;
                r->body = BUFFER_INIT(BODY_MAX);
                *request = r;
                return MHD_YES;
        }
        if (*upload_size > 0) {
                size_t size = *upload_size;

                *upload_size = 0;
                if (*mode == PARSE && buffer_append(&r->body, upload, size) < 0)
                        return MHD_NO;
                return MHD_YES;
        }
        return *mode == PARSE ? reply_parsed(connection, r) : reply(connection, 200, answer);
}

static void on_completed(_unused_ void *userdata, _unused_ struct MHD_Connection *connection, void **request,
                _unused_ enum MHD_RequestTerminationCode code)
{
        Request *r = *request;

        if (!r)
                return;
        buffer_done(&r->body);
        free(r);
        *request = NULL;
}

/* On a port that the kernel chooses. */
static int listen_somewhere(uint16_t *ret_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0 ||
                        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
                return -errno;
        *ret_port = ntohs(address.sin_port);
        return fd;
}

static int serve(struct MHD_Daemon *daemon)
{
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
        struct pollfd poller = { .fd = info ? info->epoll_fd : -1, .events = POLLIN };
        MHD_UNSIGNED_LONG_LONG msec;

        if (poller.fd < 0)
                return -ENOTSUP;
        for (;;) {
                int timeout = MHD_get_timeout(daemon, &msec) == MHD_YES ? (int)MIN(msec, 1000U) : -1;

                if (poll(&poller, 1, timeout) < 0 && errno != EINTR)
                        return -errno;
                if (MHD_run(daemon) != MHD_YES)
                        return -EIO;
        }
}

static int run(Mode mode)
{
        struct MHD_Daemon *daemon;
        uint16_t port = 0;
        int fd, r;

        fd = listen_somewhere(&port);
        if (fd < 0)
                return fd;
        daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_call, &mode, MHD_OPTION_LISTEN_SOCKET, fd,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_PER_CONNECTION,
                        MHD_OPTION_CONNECTION_LIMIT, 1000000U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
        if (!daemon)
                return -ENOTSUP;
        printf("%u\n", port);
        (void)fflush(stdout);
        r = serve(daemon);
        MHD_stop_daemon(daemon);
        return r;
}

int main(int argc, char *argv[])
{
        static const char *const names[] = { [DROP] = "drop", [PARSE] = "parse", [REFUSE] = "refuse" };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (argc == 2 && streq(argv[1], names[i])) {
                        r = run((Mode)i);
                        (void)fprintf(stderr, "bench-server: %s\n", strerror(-r));
                        return 1;
                }
        (void)fputs("bench-server drop|parse|refuse\n", stderr);
        return 64;
}
