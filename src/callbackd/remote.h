#pragma once

/* Who is at the other end: the address that a callback came from. */

#include "config/settings.h"
#include "http/server.h"
#include "store/types.h"

/* The client's address as text, "unix" for a Unix socket. Where the peer is one of the trusted proxies it is
 * taken out of X-Forwarded-For, from the right: the first address that is no trusted proxy itself. Returns
 * buf. */
const char *remote_address(const HttpRequest *request, const Network *trusted, size_t n_trusted,
                char buf[static STORE_REMOTE_MAX + 1]);

/* The part that looks at texts: `forwarded` are the values of X-Forwarded-For, in the order of the headers.
 */
const char *remote_resolve(const struct sockaddr *peer, const char *const *forwarded, size_t n_forwarded,
                const Network *trusted, size_t n_trusted, char buf[static STORE_REMOTE_MAX + 1]);
