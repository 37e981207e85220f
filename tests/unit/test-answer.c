/* What answers mean: every status there can be, every failure, and whose task a body shows. */

#include "test.h"

#include <stdio.h>

#include "submitd/api/answer.h"

#define ID  "0123456789abcdef0123456789abcdef"
#define URL "https://example.com/callback/"

static ApiAnswer answer_of(unsigned status, const char *body)
{
        return (ApiAnswer){
                .sent = true,
                .status = status,
                .body = body,
                .body_size = strlen(body),
                .is_json = true,
                .date = TIME_NONE,
                .retry_after = UINT64_MAX,
        };
}

/* Written out, not as ranges: what is not on it is not known. */
static Outcome expect(unsigned status)
{
        switch (status) {
        case 200:
                return OUTCOME_DONE;
        case 401:
        case 402:
        case 403:
                return OUTCOME_ACCOUNT;
        case 429:
                return OUTCOME_BUSY;
        case 408:
        case 409:
        case 425:
                return OUTCOME_UNKNOWN;
        default:
                if (status / 100 == 3)
                        return OUTCOME_ACCOUNT;
                return status / 100 == 4 ? OUTCOME_REJECTED : OUTCOME_UNKNOWN;
        }
}

static void test_every_status(_unused_ void **state)
{
        for (unsigned status = 0; status < 1100; status++) {
                const ApiAnswer a = answer_of(status, "{}");

                if (outcome_of_answer(&a) != expect(status))
                        fail_msg("%u is %d", status, (int)outcome_of_answer(&a));
        }
}

static void test_failures(_unused_ void **state)
{
        static const int errors[] = { -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPIPE, -ECANCELED, -ENOMEM };

        FOREACH_ARRAY(error, errors, ELEMENTSOF(errors)) {
                ApiAnswer a = { .error = *error, .sent = true };

                assert_int_equal(outcome_of_answer(&a), OUTCOME_UNKNOWN);
                a.status = 200; /* a cut answer */
                assert_int_equal(outcome_of_answer(&a), OUTCOME_UNKNOWN);
                a.status = 400;
                assert_int_equal(outcome_of_answer(&a), OUTCOME_UNKNOWN);
                a = (ApiAnswer){ .error = *error, .sent = false };
                assert_int_equal(outcome_of_answer(&a), OUTCOME_NOT_SENT);
        }
}

static void test_kinds(_unused_ void **state)
{
        static const struct {
                int error;
                unsigned status;
                bool is_json;
                AnswerKind kind;
        } cases[] = {
                { 0, 200, true, ANSWER_GOOD },
                { 0, 200, false, ANSWER_BROKEN },
                { 0, 201, true, ANSWER_BROKEN },
                { 0, 204, false, ANSWER_BROKEN },
                { 0, 301, false, ANSWER_ACCOUNT },
                { 0, 400, true, ANSWER_ABSENT },
                { 0, 400, false, ANSWER_BROKEN },
                { 0, 401, true, ANSWER_ACCOUNT },
                { 0, 403, false, ANSWER_ACCOUNT },
                { 0, 404, true, ANSWER_ABSENT },
                { 0, 404, false, ANSWER_BROKEN },
                { 0, 408, true, ANSWER_BROKEN },
                { 0, 410, true, ANSWER_ABSENT },
                { 0, 429, false, ANSWER_LATER },
                { 0, 500, true, ANSWER_BROKEN },
                { -ETIMEDOUT, 0, false, ANSWER_BROKEN },
                { -EPROTO, 200, true, ANSWER_BROKEN },
                { -EPROTO, 404, true, ANSWER_BROKEN },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                assert_int_equal(answer_classify(&(ApiAnswer){
                                                 .error = c->error,
                                                 .status = c->status,
                                                 .is_json = c->is_json,
                                 }),
                                c->kind);
}

static void test_describe(_unused_ void **state)
{
        char buf[OUTCOME_TEXT_SIZE], body[2000], words[1000];
        ApiAnswer a = answer_of(402, "{\"error\":\"Not enabled.\"}");

        assert_string_equal(outcome_describe(&a, buf), "the API answered 402: Not enabled.");
        a = answer_of(500, "{}");
        assert_string_equal(outcome_describe(&a, buf), "the API answered 500");
        a = answer_of(404, "<html>secret page");
        assert_string_equal(outcome_describe(&a, buf), "the API answered 404");
        a = answer_of(302, "");
        assert_string_equal(outcome_describe(&a, buf),
                        "the API answered 302: a redirect, which isn't followed; is [api] url right?");
        a = answer_of(200, "{}");
        assert_string_equal(
                        outcome_describe(&a, buf), "the API answered 200 with something that can't be used");
        a = (ApiAnswer){ .error = -ETIMEDOUT, .sent = true, .message = "too late" };
        assert_string_equal(outcome_describe(&a, buf), "no answer: too late");
        a = (ApiAnswer){ .error = -ECONNREFUSED };
        assert_string_equal(outcome_describe(&a, buf),
                        "nothing answers where the API should be: Connection refused");

        /* On one line, of a bounded length, cut between two characters. */
        memset(words, 'x', sizeof(words));
        memcpy(words, "a\\n", 3);
        for (size_t i = 3; i + 1 < sizeof(words); i += 2)
                memcpy(words + i, "\xc3\xa4", 2);
        words[sizeof(words) - 1] = 0;
        snprintf(body, sizeof(body), "{\"error\":\"%s\"}", words);
        a = answer_of(400, body);
        outcome_describe(&a, buf);
        assert_true(strlen(buf) < OUTCOME_TEXT_SIZE);
        assert_null(strchr(buf, '\n'));
        assert_int_equal((unsigned char)buf[strlen(buf) - 1], 0xa4);
}

static void test_whose_task(_unused_ void **state)
{
        static const struct {
                const char *body;
                TaskClaim claim;
        } cases[] = {
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_OURS },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\",\"a\":1},\"x\":[]}",
                                TASK_OURS },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\"},\"x\":\"\\u0000\"}",
                                TASK_OURS },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\\u0000x\"}}",
                                TASK_FOREIGN },
                { "{\"task_id\":\"t\\u0000\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}",
                                TASK_UNUSABLE },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"other\"}}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":7}}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"metadata\":{}}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"metadata\":[]}", TASK_FOREIGN },
                { "{\"task_id\":\"t\"}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL ID "\"}", TASK_OURS },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL ID "\",\"metadata\":{\"a\":1}}", TASK_OURS },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL ID "\","
                  "\"metadata\":{\"scale_submission_id\":\"other\"}}",
                                TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL ID "/\"}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL "0" ID "\"}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":\"" URL ID "\\u0000\"}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":\"" ID "\"}", TASK_FOREIGN },
                { "{\"task_id\":\"t\",\"callback_url\":7}", TASK_FOREIGN },
                { "{\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "{\"task_id\":\"\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "{\"task_id\":\"a b\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "{\"task_id\":\"a/b\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "{\"task_id\":\"a?b\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "{\"task_id\":7,\"metadata\":{\"scale_submission_id\":\"" ID "\"}}", TASK_UNUSABLE },
                { "[{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}}]", TASK_UNUSABLE },
                { "{\"task_id\":\"t\",\"metadata\":{\"scale_submission_id\":\"" ID "\"}", TASK_UNUSABLE },
                { "\"" ID "\"", TASK_UNUSABLE },
                { "<html>" ID, TASK_UNUSABLE },
                { "", TASK_UNUSABLE },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const ApiAnswer a = answer_of(200, c->body);
                json_auto_t *task = NULL;

                if (outcome_claim_task(&a, ID, &task) != c->claim)
                        fail_msg("%s", c->body);
                assert_int_equal(task != NULL, c->claim == TASK_OURS);
        }
}

static void test_the_length_of_a_task_id(_unused_ void **state)
{
        char body[400];

        for (int n = 126; n < 132; n++) {
                json_auto_t *task = NULL;

                snprintf(body, sizeof(body), "{\"task_id\":\"%0*d\"}", n, 0);
                task = json_loads(body, 0, NULL);
                assert_int_equal(outcome_task_id(task) != NULL, n <= 128);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_status),
                cmocka_unit_test(test_failures),
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_describe),
                cmocka_unit_test(test_whose_task),
                cmocka_unit_test(test_the_length_of_a_task_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
