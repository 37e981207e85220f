#pragma once

/* The viewer, and who may see its page. */

#include "http/pool.h"
#include "http/server.h"
#include "scalectl/ctl.h"

#define VIEW_SECRET_SIZE (2 * 32 + 1) /* 256 random bits as hex */

/* Who may see the page: whoever first comes with the token, by the cookie that is given for it. */
typedef struct ViewSession {
        char token[VIEW_SECRET_SIZE], cookie[VIEW_SECRET_SIZE];
        char place[VIEW_SECRET_SIZE]; /* the folder that everything is in, and the cookie is for */
        char cookie_name[32];         /* with the port in it: browsers keep no cookies by port */
        char hosts[2][32];            /* what the header Host may say */
        bool token_used;
} ViewSession;

typedef struct ViewExport ViewExport;

typedef struct View {
        Ctl *ctl;
        sd_event *loop;
        HttpPool *pool;
        ViewExport *export; /* the one that runs, borrowed; NULL: none */
        ViewSession session;
        bool away; /* the daemon did not answer the last time; said */
} View;

int view_session_init(ViewSession *s, uint16_t port); /* 0 or negative errno */

/* Uses the token up when this is the one, for ever. */
bool view_session_take_token(ViewSession *session, const char *token);

/* Gates. The first only holds the request against the names that the page has; the second wants the cookie
 * as well; the third wants it to come from the page itself, too. */
int view_gate_host(HttpRequest *request, void *userdata);
int view_gate_page(HttpRequest *request, void *userdata);
int view_gate_cookie(HttpRequest *request, void *userdata);

/* What every answer says to the browser. 0 or negative errno. */
int view_add_headers(HttpRequest *request);

/* export.c: a file for the browser, and the formats that there are */
int view_on_export(HttpRequest *request, void *userdata);
int view_on_formats(HttpRequest *request, void *userdata);
