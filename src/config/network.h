#pragma once

/* Networks: "10.0.0.0/8", "2001:db8::/32", a single address, or "unix" for every Unix socket. */

#include "config/settings.h"

/* 0, or -EINVAL: not a network, or one with bits set behind its prefix. */
int network_parse(const char *text, Network *ret);

/* Whether an address is in it: 4 or 16 bytes for AF_INET and AF_INET6, none for AF_UNIX. */
bool network_contains(const Network *network, int family, const uint8_t *bytes);

/* The text that network_parse() takes. Returns buf. */
#define NETWORK_TEXT_SIZE 64U
const char *network_format(const Network *network, char buf[static NETWORK_TEXT_SIZE]);
