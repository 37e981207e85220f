/*
 * What libmicrohttpd refuses by itself: a request without Host, headers that are too large, nonsense. It has
 * pages in HTML for that, no option for what they say, and where it refuses after the headers were read it
 * sends the head of its answer twice. So its call of MHD_queue_response() ends here instead of in the
 * library: a program's own function comes before the library's of the same name. The client is told in our
 * shape, past libmicrohttpd, and the connection takes nothing more, whatever the library has to say.
 *
 * Answers of ours go to the library's function, by way of refuse_pass(). A libmicrohttpd that were linked so
 * that it calls its own function all the same would send its pages, as it does by itself.
 */

#include <dlfcn.h>
#include <stdio.h>

#include "http/request.h"

typedef enum MHD_Result (*QueueResponse)(
                struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response);

enum MHD_Result refuse_pass(struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
        static QueueResponse queue;

        if (!queue)
                *(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response");
        return queue ? queue(mhd, status, response) : MHD_NO;
}

static const char *describe(unsigned status)
{
        static const struct {
                unsigned status;
                const char *text;
        } texts[] = {
                { 413, "The request is larger than what is taken." },
                { 414, "The target is longer than what is taken." },
                { 431, "The headers are larger than what is taken." },
                { 505, "The version of HTTP is not one that is taken: send 1.1." },
        };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                if (t->status == status)
                        return t->text;
        return status < 500 ? "The request is no HTTP that could be understood."
                            : "The request could not be answered.";
}

void connection_say(Connection *c, unsigned status, const char *error)
{
        char body[256], text[512];
        int n;

        n = snprintf(body, sizeof(body), "{\"status_code\":%u,\"error\":\"%s\"}", status, error);
        n = snprintf(text, sizeof(text),
                        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: %d\r\n\r\n%s",
                        status, MHD_get_reason_phrase_for(status), n, body);
        (void)send(c->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (c->server->options.on_reply)
                c->server->options.on_reply(status, c->server->options.userdata);
}

/* Called by libmicrohttpd alone. */
enum MHD_Result MHD_queue_response(
                struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
        Connection *c = connection_of(mhd);

        if (c) {
                connection_say(c, status, describe(status));
                (void)shutdown(c->fd, SHUT_WR);
        }
        return refuse_pass(mhd, status, response);
}
