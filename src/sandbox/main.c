/* scale-sandbox: the command line, then the loop until a signal ends it. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-event.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "http/server.h"
#include "sandbox/options.h"

/* Connections are descriptors; what can't be had, waits. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)8192);
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int block_signals(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        return 0;
}

/* With the port that the kernel chose. */
static void announce(const char *address, int fd)
{
        struct sockaddr_in6 a = {};
        socklen_t size = sizeof(a);
        const char *colon = strrchr(address, ':');

        if (getsockname(fd, (struct sockaddr *)&a, &size) < 0 ||
                        (a.sin6_family != AF_INET && a.sin6_family != AF_INET6))
                log_notice("Listening on %s (sandbox)", address);
        else /* the port is at the same place for both families */
                log_notice("Listening on %.*s:%u (sandbox)", (int)(colon - address), address,
                                ntohs(a.sin6_port));
}

static void say_keys(const Options *options)
{
        for (size_t i = 0; i < options->n_keys; i++)
                log_info("Key %s: %s tasks", options->keys[i],
                                strncmp(options->keys[i], "test", 4) == 0 ? "test" : "live");
        log_info("Seed %" PRIu64, options->world.seed);
}

static int serve(sd_event *loop, const Options *options, int fd)
{
        _cleanup_(world_freep) World *world = NULL;
        _cleanup_(callbacks_freep) Callbacks *callbacks = NULL;
        _cleanup_(sandbox_server_freep) SandboxServer *server = NULL;
        int r;

        r = world_new(&options->world, &world);
        if (r >= 0)
                r = callbacks_new(loop, world, &options->callbacks, &callbacks);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        r = sandbox_server_new(loop, world, callbacks,
                        &(SandboxServerOptions){ options->keys, options->n_keys }, fd, &server);
        if (r < 0)
                return r;

        log_notice("Ready.");
        return sd_event_loop(loop);
}

static int run(const Options *options)
{
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        int r, fd;

        raise_descriptor_limit();
        r = block_signals();
        if (r >= 0)
                r = sd_event_new(&loop);
        if (r >= 0)
                r = sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL);
        if (r < 0) {
                log_error_errno(r, "Can't begin");
                return EX_OSERR;
        }

        fd = http_listen(options->listen, 0600);
        if (fd < 0) {
                log_error_errno(fd, "Can't listen on %s", options->listen);
                return EX_UNAVAILABLE;
        }
        announce(options->listen, fd);
        say_keys(options);
        r = serve(loop, options, fd);
        if (r < 0) {
                log_error_errno(r, "Can't serve");
                return EX_OSERR;
        }
        return r;
}

int main(int argc, char **argv)
{
        Options o;
        int r;

        r = options_parse(argc, argv, &o);
        if (r != 0)
                return r;
        switch (o.action) {
        case OPTIONS_HELP:
                return options_print_help();
        case OPTIONS_VERSION:
                return printf("scale-sandbox " PROJECT_VERSION "\n") < 0 ? EX_IOERR : 0;
        case OPTIONS_RUN:
        default:
                break;
        }

        /* So that it can be tried without thinking of any. */
        if (o.n_keys == 0) {
                o.keys[o.n_keys++] = "test_sandbox";
                o.keys[o.n_keys++] = "live_sandbox";
        }
        return run(&o);
}
