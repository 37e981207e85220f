/* Metrics: what is counted comes out, labels stay bounded and harmless. */

#include "test.h"

#include <stdio.h>

#include "callbackd/metrics.h"

static Metrics metrics;
static MetricsInputs inputs;

static int set_up(_unused_ void **state)
{
        metrics_init(&metrics);
        inputs = (MetricsInputs){ .metrics = &metrics };
        return 0;
}

static void expect(const char *line)
{
        _cleanup_buffer_ Buffer out = BUFFER_INIT(262144);

        assert_int_equal(receiver_metrics_render(&inputs, &out), 0);
        if (!strstr(buffer_text(&out), line))
                fail_msg("%s is not in\n%s", line, buffer_text(&out));
}

static void test_counters(_unused_ void **state)
{
        metrics_count_response(&metrics, 200);
        metrics_count_response(&metrics, 200);
        metrics_count_response(&metrics, 99999);
        atomic_fetch_add(&metrics.verdicts[VERDICT_REVISED], 3);
        inputs.stats.commit = (CommitStats){ .groups = 5, .commit_usec = 1500000, .state = STORE_WELL };
        inputs.query.connections = 4;
        expect("\nscale_callbackd_responses_total{status_code=\"200\"} 2\n");
        expect("\nscale_callbackd_deliveries_total{verdict=\"revised\"} 3\n");
        expect("\nscale_callbackd_commit_groups_total 5\n");
        expect("\nscale_callbackd_commit_seconds_total 1.5\n");
        expect("\nscale_callbackd_writable 1\n");
        expect("\nscale_callbackd_connections{server=\"query\"} 4\n");
}

static void test_histogram(_unused_ void **state)
{
        metrics_count_duration(&metrics, 900);
        metrics_count_duration(&metrics, 3000);
        metrics_count_duration(&metrics, 60000000);
        expect("_duration_seconds_bucket{le=\"0.001\"} 1\n");
        expect("_duration_seconds_bucket{le=\"0.005\"} 2\n");
        expect("_duration_seconds_bucket{le=\"10\"} 2\n");
        expect("_duration_seconds_bucket{le=\"+Inf\"} 3\n");
        expect("_duration_seconds_count 3\n");
        expect("_duration_seconds_sum 60.0039\n");
}

static void test_times_are_not_rounded(_unused_ void **state)
{
        metrics.started_at = INT64_C(1795658127123450);
        expect("\nscale_callbackd_start_time_seconds 1795658127.12345\n");
        metrics_count_duration(&metrics, UINT64_C(1234567890123));
        expect("_duration_seconds_sum 1234567.890123\n");
}

static void test_keys_are_bounded(_unused_ void **state)
{
        char label[16];

        for (unsigned i = 0; i < METRICS_KEYS_MAX + 10; i++) {
                snprintf(label, sizeof(label), "key-%u", i);
                metrics_count_key(&metrics, label);
                metrics_count_key(&metrics, label);
        }
        expect("_keys_used_total{key=\"key-0\"} 2\n");
        expect("_keys_used_total{key=\"key-15\"} 2\n");
}

/* A type's name comes from outside. */
static void test_labels_can_not_break_out(_unused_ void **state)
{
        inputs.stats.store.n_by_type = 1;
        inputs.stats.store.by_type[0] =
                        (StoreTypeCount){ .type = "a\"} 1\nx{b=\"\\", .status = TASK_COMPLETED, .n = 7 };
        expect("scale_callbackd_tasks{type=\"a\\\"} "
               "1?x{b=\\\"\\\\\",status=\"completed\",is_test=\"false\"} 7\n");
}

static void test_a_text_too_long_is_an_error(_unused_ void **state)
{
        _cleanup_buffer_ Buffer out = BUFFER_INIT(100);

        assert_int_equal(receiver_metrics_render(&inputs, &out), -ENOBUFS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_counters, set_up),
                cmocka_unit_test_setup(test_histogram, set_up),
                cmocka_unit_test_setup(test_times_are_not_rounded, set_up),
                cmocka_unit_test_setup(test_keys_are_bounded, set_up),
                cmocka_unit_test_setup(test_labels_can_not_break_out, set_up),
                cmocka_unit_test_setup(test_a_text_too_long_is_an_error, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
