/* The submitter's metrics: what is counted comes out, in base units. */

#include "test.h"

#include "basic/time-util.h"
#include "submitd/socket/metrics.h"

static void expect(const MetricsInputs *in, const char *line)
{
        _cleanup_buffer_ Buffer out = BUFFER_INIT(262144);

        assert_int_equal(submit_metrics_render(in, &out), 0);
        if (!strstr(buffer_text(&out), line))
                fail_msg("%s is not in\n%s", line, buffer_text(&out));
}

static void test_values(_unused_ void **state)
{
        MetricsInputs in = { .api = { .failed = 3, .usec = 2500000, .in_flight = 2 } };

        metrics_count_type(&in.own, task_type_find("comparison"));
        metrics_count_response(&in.own, 202);
        metrics_count_response(&in.own, 99999);
        in.api.answers[429] = 5;
        in.outbox.in_flight = 4;
        in.outbox.created = 7;
        in.stats.queue.by_state[SUBMISSION_UNKNOWN] = 9;
        in.stats.queue.hold = QUEUE_HELD_ACCOUNT;
        in.stats.queue.oldest = 1500000;
        in.stats.queue.live_sent = 6;
        in.stats.commit.commit_usec = 500000;
        in.live_per_day = 100;

        expect(&in, "\nscale_submitd_submitted_total{type=\"comparison\"} 1\n");
        expect(&in, "\nscale_submitd_submitted_total{type=\"annotation\"} 0\n");
        expect(&in, "\nscale_submitd_responses_total{status_code=\"202\"} 1\n");
        expect(&in, "\nscale_submitd_api_answers_total{status_code=\"429\"} 5\n");
        expect(&in, "\nscale_submitd_api_failures_total 3\n");
        expect(&in, "\nscale_submitd_api_seconds_total 2.5\n");
        expect(&in, "\nscale_submitd_created_total 7\n");
        expect(&in, "\nscale_submitd_sending 4\n");
        expect(&in, "\nscale_submitd_submissions{state=\"unknown\"} 9\n");
        expect(&in, "\nscale_submitd_queue_held{by=\"administrator\"} 0\n");
        expect(&in, "\nscale_submitd_queue_held{by=\"account\"} 1\n");
        expect(&in, "\nscale_submitd_live_tasks_today 6\n");
        expect(&in, "\nscale_submitd_live_tasks_allowed 100\n");
        expect(&in, "\nscale_submitd_oldest_submission_seconds 1.5\n");
        expect(&in, "\nscale_submitd_commit_seconds_total 0.5\n");

        in.stats.queue.live_sent = 0;
        in.stats.queue.oldest = TIME_NONE;
        in.live_per_day = UINT64_MAX;
        expect(&in, "\nscale_submitd_live_tasks_today 0\n");
        expect(&in, "\n# TYPE scale_submitd_live_tasks_allowed gauge\n# HELP");
        expect(&in, "\nscale_submitd_oldest_submission_seconds 0\n");
}

static void take_name(const char *name, const char *type, const char *help, void *userdata)
{
        assert_true(strncmp(name, "scale_submitd_", 14) == 0);
        assert_true(streq(type, "counter") || streq(type, "gauge"));
        assert_true(streq(type, "counter") == (strstr(name, "_total") != NULL));
        assert_true(help[strlen(help) - 1] == '.');
        ++*(size_t *)userdata;
}

static void test_names(_unused_ void **state)
{
        size_t n = 0;

        submit_metrics_describe(take_name, &n);
        assert_true(n > 30);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
