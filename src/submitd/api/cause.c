/*
 * The causes for which something waits, and what is said of each: no cause is told in another's words.
 */

#include "submitd/api/cause.h"

const WaitingWords waiting_words[] = {
        [WAITING_NOTHING] = { "nothing", "info", "", "" },
        [WAITING_HELD] = { "held", "warning", "the queue is held by an administrator",
                        "`scalectl queue resume` lets it go on" },
        [WAITING_ACCOUNT] = { "held_account", "error", "the API refuses the account",
                        "see to the account or the key, then `scalectl queue resume`; a new key is tried after a reload" },
        [WAITING_ROOM] = { "no_room", "error",
                        "there is no room on the disk, and nothing is sent that can't be written down",
                        "make room there, and it goes on by itself" },
        [WAITING_DISK] = { "disk", "error",
                        "nothing can be stored, and nothing is sent that can't be written down",
                        "the submitter's log says what is wrong with the database" },
        [WAITING_RETRY_AFTER] = { "retry_after", "warning", "the API asked to be left alone for a while",
                        "it goes on by itself; a lower [api] rate may spare that" },
        [WAITING_NAME] = { "name", "error", "the API's name does not resolve",
                        "see [api] url, and with `resolvectl query NAME` what the machine's DNS says" },
        [WAITING_REFUSED] = { "refused", "error", "nothing answers where the API should be",
                        "see [api] url, with its port" },
        [WAITING_NO_WAY] = { "no_way", "error", "there is no way to the API",
                        "see the machine's network: `ip route get ADDRESS`" },
        [WAITING_TLS] = { "tls", "error", "the API can't be trusted to be itself",
                        "see the machine's clock, its certificates (ca-certificates), and what stands between" },
        [WAITING_CONNECT_TIMEOUT] = { "connect_timeout", "error", "no connection to the API comes about",
                        "see that the firewall lets it through" },
        [WAITING_UNREACHABLE] = { "unreachable", "error", "the API can't be reached",
                        "see the submitter's log" },
        [WAITING_NO_ANSWER] = { "no_answer", "error", "no answer",
                        "it is asked again by itself; see the network, and [api] timeout" },
        [WAITING_FAILING] = { "failing", "error", "the API gives no answer that can be used",
                        "it is asked again by itself; see the API's status, and [api] url" },
        [WAITING_LIVE_CAP] = { "live_per_day", "warning",
                        "today's live tasks are sent, as [submit] live_per_day has it",
                        "it goes on at midnight UTC, or with a higher [submit] live_per_day" },
        [WAITING_TOO_MANY_UNKNOWN] = { "too_many_unknown", "error",
                        "there are too many of which it is not known whether they have a task",
                        "it goes on once the API can be asked about them: `scalectl queue list --state unknown`" },
        [WAITING_RATE] = { "rate", "info", "no more are sent in a second than [api] rate allows", "" },
        [WAITING_BACKOFF] = { "backoff", "info", "what failed is tried again later",
                        "`scalectl queue flush` tries everything now" },
        [WAITING_SETTLE] = { "settle", "info", "nobody answered, and whether there is a task is looked for",
                        "" },
        [WAITING_CANCEL] = { "cancel", "info",
                        "the API is still to cancel it, which is tried again by itself", "" },
};
_Static_assert(ELEMENTSOF(waiting_words) == _WAITING_CAUSE_MAX, "a sentence for each");

WaitingCause waiting_cause_of_failure(const ApiAnswer *answer)
{
        static const struct {
                int error;
                WaitingCause cause;
        } errors[] = {
                { -EHOSTUNREACH, WAITING_NAME },
                { -ECONNREFUSED, WAITING_REFUSED },
                { -ENETUNREACH, WAITING_NO_WAY },
                { -EBADE, WAITING_TLS },
                { -ETIMEDOUT, WAITING_CONNECT_TIMEOUT },
        };

        if (answer->sent)
                return WAITING_NO_ANSWER;
        FOREACH_ARRAY(known, errors, ELEMENTSOF(errors))
                if (known->error == answer->error)
                        return known->cause;
        return WAITING_UNREACHABLE;
}
