#pragma once

/* Receipts as answers. */

#include "daemon/ingest.h"
#include "http/server.h"

/* The answer that a receipt stands for: 200 with the result, 4xx with the problems, 503 with Retry-After. */
int receipt_reply(HttpRequest *request, const Receipt *receipt);

/* 503: it can't be stored now, for the reason of `error` (negative errno; 0: none in particular). */
int receipt_reply_unavailable(HttpRequest *request, int error);
