/* The exporter: what each format makes of given tasks, and what is left out. */

#include "test.h"

#include <jansson.h>
#include <stdio.h>

#include "export/export.h"

/* What came out. */
typedef struct Out {
        Buffer stream, files; /* files: "NAME|CONTENT\n" of each */
        unsigned n_files;
        int failure; /* what writing answers */
        ImageSize image;
} Out;

#define MAX_OUT ((size_t)1024 * 1024)

static int on_write(const void *data, size_t size, void *userdata)
{
        Out *o = userdata;

        return o->failure ?: buffer_append(&o->stream, data, size);
}

static int on_file(const char *name, const void *data, size_t size, void *userdata)
{
        _cleanup_free_ char *head = NULL;
        Out *o = userdata;

        assert_true(asprintf(&head, "%s|", name) > 0);
        if (strstr(buffer_text(&o->files), head))
                return 1;
        assert_int_equal(buffer_append_str(&o->files, head), 0);
        assert_int_equal(buffer_append(&o->files, data, size), 0);
        assert_int_equal(buffer_append_str(&o->files, "\n"), 0);
        o->n_files++;
        return 0;
}

static int on_size(const char *url, const char *name, ImageSize *ret, void *userdata)
{
        Out *o = userdata;

        assert_true(*url && *name);
        *ret = o->image;
        return o->image.width > 0 && !strstr(url, "unknown");
}

/* Gives the tasks (up to a NULL) to a format, pass after pass. */
static Exporter *export(const char *format, const ExportOptions *options, const char *classes,
                const char *const *tasks, Out *o)
{
        const ExportCalls calls = { on_write, on_file, on_size, o };
        const ExportFormat *f = export_format_find(format);
        bool fits[64] = {};
        size_t line;
        Exporter *x;

        buffer_done(&o->stream);
        buffer_done(&o->files);
        o->stream.max = o->files.max = MAX_OUT;
        o->n_files = 0;
        assert_non_null(f);
        assert_int_equal(exporter_new(f, options, &calls, &x), 0);
        if (classes)
                assert_int_equal(exporter_load_classes(x, classes, strlen(classes), &line), 0);
        for (unsigned pass = 0; pass < export_format_passes(f); pass++) {
                assert_int_equal(exporter_begin(x, pass), 0);
                for (size_t i = 0; tasks[i]; i++) {
                        ExportReason reason = EXPORT_FITS;

                        if (pass == 0 || fits[i])
                                assert_int_equal(exporter_take(x, tasks[i], strlen(tasks[i]), &reason), 0);
                        if (pass == 0)
                                fits[i] = reason == EXPORT_FITS;
                }
                assert_int_equal(exporter_end(x), 0);
        }
        return x;
}

static void out_done(Out *o)
{
        buffer_done(&o->stream);
        buffer_done(&o->files);
}

static void expect_counts(const Exporter *x, uint64_t read, uint64_t exported)
{
        const ExportCounts *c = exporter_counts(x);
        uint64_t sum = 0;

        for (unsigned i = 0; i < _EXPORT_REASON_MAX; i++)
                sum += c->left_out[i];
        assert_int_equal(c->read, read);
        assert_int_equal(c->exported, exported);
        assert_int_equal(c->n_left_out, read - exported);
        assert_int_equal(sum, read - exported);
}

#define TASK(id, type, params, response)                                        \
        "{\"task_id\":\"" id "\",\"type\":\"" type "\",\"params\":{" params "}" \
        ",\"response\":" response "}"
#define IMAGE(id, url, response)                                                                       \
        TASK(id, "annotation", "\"attachment\":\"" url "\",\"objects_to_annotate\":[\"cow\",\"dog\"]", \
                        response)
#define BOX(left, top, width, height, label)                                            \
        "{\"left\":" #left ",\"top\":" #top ",\"width\":" #width ",\"height\":" #height \
        ",\"label\":\"" label "\"}"
#define BOXES(boxes)             "{\"annotations\":[" boxes "]}"
#define AUDIO(id, url, response) TASK(id, "audiotranscription", "\"attachment\":\"" url "\"", response)
#define SPEECH                                                                                   \
        "{\"transcript\":\"Hello "                                                               \
        "<world>\",\"duration\":2.5,\"alignment\":[{\"word\":\"Hello\",\"start\":0.3,"           \
        "\"end\":0.7,\"confidence\":0.9},{\"word\":\"<world> --> x\",\"start\":0.7,\"end\":1.3," \
        "\"confidence\":0.3}]}"

static const ExportOptions plain = {};

/* Lines. */

static void test_jsonl_is_verbatim(_unused_ void **state)
{
        const char *const tasks[] = { "{\"task_id\" : \"a\", \"x\":1.50}", "{}", "not even JSON", NULL };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("jsonl", &plain, NULL, tasks, &o);
        assert_string_equal(
                        buffer_text(&o.stream), "{\"task_id\" : \"a\", \"x\":1.50}\n{}\nnot even JSON\n");
        expect_counts(x, 3, 3);
}

static void test_csv(_unused_ void **state)
{
        const char *const good[] = {
                "{\"type\":\"x\",\"task_id\":\"a\",\"z\":null,\"response\":{\"fields\":{\"title\":\"one, "
                "\\\"two\\\"\\nthree\"},\"n\":0.3},\"metadata\":{\"b.c\":true}}",
                "{\"task_id\":\"b\",\"response\":{\"fields.title\":\"=1+1\",\"list\":[1,\"x\"],\"fields\":7}"
                ","
                "\"metadata\":{\"e\":\"\",\"n\":\"\\u0000-\"}}",
                NULL
        };
        const ExportOptions sheet = { .spreadsheet = true };
        _cleanup_(exporter_freep) Exporter *x = NULL, *y = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("csv", &plain, NULL, good, &o);
        expect_counts(x, 2, 2);
        assert_string_equal(buffer_text(&o.stream),
                        "task_id,type,z,metadata.b.c,metadata.e,metadata.n,response.fields,"
                        "response.fields\\.title,response.list,response.n,response.fields.title\r\n"
                        "a,x,,true,,,,,,0.3,\"one, \"\"two\"\"\nthree\"\r\n"
                        "b,,,,\"\",\xef\xbf\xbd-,7,=1+1,\"[1,\"\"x\"\"]\",,\r\n");
        y = export("csv", &sheet, NULL, good, &o);
        assert_non_null(strstr(buffer_text(&o.stream), ",'=1+1,"));
}

static void test_csv_is_bounded(_unused_ void **state)
{
        _cleanup_free_ char *wide = malloc(128 * 1024), *long_name = malloc(1024);
        const char *const tasks[] = { "{\"task_id\":\"a\"}", wide, long_name, "{\"b\":1}", NULL };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};
        size_t n = 1;

        strcpy(wide, "{");
        for (unsigned i = 0; i < 5000; i++)
                n += (size_t)sprintf(wide + n, "%s\"m%u\":1", i > 0 ? "," : "", i);
        strcat(wide, "}");
        memset(long_name, 'x', 1024);
        memcpy(long_name, "{\"", 2);
        strcpy(long_name + 1000, "\":1}");
        x = export("csv", &plain, NULL, tasks, &o);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_TOO_WIDE], 2);
        assert_string_equal(buffer_text(&o.stream), "task_id,b\r\na,\r\n,1\r\n");
        expect_counts(x, 4, 2);
}

/* Images. */

static const char *const images[] = {
        IMAGE("t1", "http://www.example.com/a/cows.jpg",
                        BOXES(BOX(10, 20, 30, 40, "cow") "," BOX(0.5, 0, 150, 20, "dog"))),
        IMAGE("t2", "http://www.example.com/b/cows.png", BOXES("")),
        IMAGE("t3", "http://www.example.com/error.jpg", "{\"error\":\"no image\"}"),
        "{\"task_id\":\"t4\",\"type\":\"annotation\",\"status\":\"pending\",\"params\":{}}",
        TASK("t5", "categorization", "", "{\"category\":\"big\"}"),
        IMAGE("t6", "http://www.example.com/c.jpg", BOXES(BOX(1, 2, 0, 4, "cow"))),
        IMAGE("t7", "http://www.example.com/d.jpg", "{\"annotations\":\"later\"}"),
        TASK("t8", "annotation", "", BOXES("")),
        IMAGE("t9", "http://www.example.com/unknown.jpg", BOXES(BOX(1, 2, 3, 4, "<&>"))),
        IMAGE("t10", "http://www.example.com/e.jpg", BOXES(BOX(100, 2, 3, 4, "cow"))),
        NULL,
};

static void test_coco(_unused_ void **state)
{
        _cleanup_(exporter_freep) Exporter *x = NULL, *y = NULL;
        _cleanup_(out_done) Out o = {};
        json_auto_t *c = NULL, *d = NULL;
        const json_t *image, *box;
        json_int_t id;
        double area;

        x = export("coco", &plain, NULL, images, &o);
        expect_counts(x, 10, 4);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_ERROR], 1);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_NO_RESULT], 1);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_OTHER_TYPE], 1);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_MALFORMED], 2);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_NO_ATTACHMENT], 1);
        c = json_loads(buffer_text(&o.stream), 0, NULL);
        assert_non_null(c);
        assert_int_equal(json_array_size(json_object_get(c, "images")), 4);
        assert_int_equal(json_array_size(json_object_get(c, "annotations")), 4);
        assert_int_equal(json_array_size(json_object_get(c, "categories")), 3); /* and none of t6 */
        image = json_array_get(json_object_get(c, "images"), 0);
        id = json_integer_value(json_object_get(image, "id"));
        assert_true(id > 0 && id < INT64_C(1) << 53);
        assert_string_equal(json_string_value(json_object_get(image, "file_name")), "cows.jpg");
        assert_null(json_object_get(image, "width"));
        box = json_array_get(json_object_get(c, "annotations"), 0);
        assert_int_equal(json_integer_value(json_object_get(box, "image_id")), id);
        area = json_number_value(json_object_get(box, "area"));
        assert_true(area > 1199.9 && area < 1200.1);

        /* On its own, and with a size, the image has the same id. */
        o.image = (ImageSize){ 100, 80 };
        y = export("coco", &plain, NULL, (const char *const[]){ images[1], images[0], images[9], NULL }, &o);
        expect_counts(y, 3, 2);
        assert_int_equal(exporter_counts(y)->left_out[EXPORT_OUTSIDE], 1);
        assert_int_equal(exporter_counts(y)->cut_boxes, 1);
        d = json_loads(buffer_text(&o.stream), 0, NULL);
        assert_non_null(strstr(buffer_text(&o.stream), "\"bbox\":[0.5,0,99.5,20],\"area\":1990,"));
        image = json_array_get(json_object_get(d, "images"), 1);
        assert_int_equal(json_integer_value(json_object_get(image, "id")), id);
        assert_int_equal(json_integer_value(json_object_get(image, "width")), 100);
}

static void test_coco_of_nothing(_unused_ void **state)
{
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};
        json_auto_t *c = NULL;

        x = export("coco", &plain, NULL, (const char *const[]){ NULL }, &o);
        expect_counts(x, 0, 0);
        c = json_loads(buffer_text(&o.stream), 0, NULL);
        assert_non_null(c);
        assert_int_equal(json_array_size(json_object_get(c, "categories")), 0);
}

static void test_coco_with_a_list_of_classes(_unused_ void **state)
{
        const ExportOptions listed = { .has_classes = true };
        _cleanup_buffer_ Buffer saved = BUFFER_INIT(MAX_OUT);
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};
        size_t n_new;

        x = export("coco", &listed, "horse\r\ndog\n", images, &o);
        assert_non_null(strstr(buffer_text(&o.stream), "{\"id\":1,\"name\":\"horse\"}"));
        assert_non_null(strstr(buffer_text(&o.stream), "{\"id\":2,\"name\":\"dog\"}"));
        assert_non_null(strstr(buffer_text(&o.stream), "{\"id\":3,\"name\":\"<&>\"}"));
        assert_int_equal(exporter_save_classes(x, &saved, &n_new), 0);
        assert_int_equal(n_new, 2);
        assert_string_equal(buffer_text(&saved), "horse\ndog\n<&>\ncow\n");
}

static void test_a_collision_of_classes(_unused_ void **state)
{
        const char *task = IMAGE("t", "http://www.example.com/a.jpg",
                        BOXES(BOX(1, 1, 1, 1, "class 70857") "," BOX(1, 1, 1, 1, "class 83635")));
        _cleanup_(out_done) Out o = { .stream = BUFFER_INIT(MAX_OUT) };
        const ExportCalls calls = { on_write, on_file, NULL, &o };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        const char *a, *b;
        ExportReason reason;

        assert_int_equal(exporter_new(export_format_find("coco"), &plain, &calls, &x), 0);
        assert_int_equal(exporter_begin(x, 0), 0);
        assert_int_equal(exporter_take(x, task, strlen(task), &reason), 0);
        assert_int_equal(exporter_end(x), 0);
        assert_int_equal(exporter_begin(x, 1), -EEXIST);
        exporter_collision(x, &a, &b);
        assert_string_not_equal(a, b);
}

static void test_bad_lists_of_classes(_unused_ void **state)
{
        static const struct {
                const char *text;
                size_t line;
        } cases[] = { { "cow\n\ndog\n", 2 }, { "cow\ncow", 2 }, { "\r\n", 1 } };
        const ExportCalls calls = { on_write, on_file, NULL, NULL };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(exporter_freep) Exporter *x = NULL;
                size_t line = 0;

                assert_int_equal(exporter_new(export_format_find("coco"), &plain, &calls, &x), 0);
                assert_int_equal(exporter_load_classes(x, c->text, strlen(c->text), &line), -EINVAL);
                assert_int_equal(line, c->line);
        }
}

static void test_yolo(_unused_ void **state)
{
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = { .image = { 100, 80 } };

        x = export("yolo", &plain, NULL, images, &o);
        expect_counts(x, 10, 2);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_NO_SIZE], 1);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_OUTSIDE], 1);
        assert_int_equal(exporter_counts(x)->cut_boxes, 1);
        assert_int_equal(exporter_counts(x)->renamed, 1);
        assert_string_equal(buffer_text(&o.files),
                        "labels/cows.txt|0 0.250000 0.500000 0.300000 0.500000\n"
                        "1 0.502500 0.125000 0.995000 0.250000\n\n"
                        "labels/cows-t2.txt|\n"
                        "classes.txt|cow\ndog\n\n"
                        "data.yaml|# Put the images into images/, beside labels/.\npath: .\ntrain: images\n"
                        "val: images\nnc: 2\nnames:\n  0: \"cow\"\n  1: \"dog\"\n\n");
        assert_string_equal(buffer_text(&o.stream),
                        "file,task_id,attachment\r\n"
                        "labels/cows.txt,t1,http://www.example.com/a/cows.jpg\r\n"
                        "labels/cows-t2.txt,t2,http://www.example.com/b/cows.png\r\n");
}

static void test_voc(_unused_ void **state)
{
        const char *const tasks[] = { images[0],
                IMAGE("t<9>", "http://www.example.com/?", BOXES(BOX(0.2, 0, 0.1, 1, "<&>"))), NULL };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = { .image = { 100, 80 } };
        const char *text;

        x = export("voc", &plain, NULL, tasks, &o);
        expect_counts(x, 2, 2);
        text = buffer_text(&o.files);
        assert_int_equal(strncmp(text, "Annotations/cows.xml|<annotation>", 33), 0);
        assert_non_null(strstr(text, "<xmin>11</xmin>\n\t\t\t<ymin>21</ymin>\n\t\t\t<xmax>40</"
                                     "xmax>\n\t\t\t<ymax>60</ymax>"));
        assert_non_null(strstr(text, "<xmin>1</xmin>\n\t\t\t<ymin>1</ymin>\n\t\t\t<xmax>100</"
                                     "xmax>\n\t\t\t<ymax>20</ymax>"));
        assert_non_null(strstr(text, "Annotations/t_9_.xml|"));
        assert_non_null(strstr(text, "<name>&lt;&amp;&gt;</name>"));
        assert_null(strstr(text, "<&"));
}

static void test_boxes_without_labels(_unused_ void **state)
{
        const char *const tasks[] = {
                TASK("a", "annotation",
                                "\"attachment\":\"http://x/1.jpg\",\"objects_to_annotate\":[\"only\"]",
                                BOXES("{\"left\":1,\"top\":1,\"width\":1,\"height\":1}")),
                TASK("b", "annotation",
                                "\"attachment\":\"http://x/2.jpg\",\"objects_to_annotate\":[\"p\",\"q\"]",
                                BOXES("{\"left\":1,\"top\":1,\"width\":1,\"height\":1,\"label\":null}")),
                TASK("c", "annotation", "\"attachment\":\"http://x/3.jpg\"",
                                BOXES(BOX(1, 1, 1, 1, "new\\nline"))),
                NULL,
        };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = { .image = { 100, 80 } };

        x = export("yolo", &plain, NULL, tasks, &o);
        expect_counts(x, 3, 3);
        assert_non_null(strstr(buffer_text(&o.files), "classes.txt|new line\nobject\nonly\n\n"));
}

/* Recordings. */

static const char *const recordings[] = {
        AUDIO("r1", "http://www.example.com/one.wav", SPEECH),
        AUDIO("r 2", "http://www.example.com/two.wav",
                        "{\"transcript\":\"\",\"duration\":1,\"alignment\":[]}"),
        AUDIO("r3", "http://www.example.com/three.wav", SPEECH),
        AUDIO("r4", "http://www.example.com/four.wav", "{\"error\":\"noise\",\"transcript\":\"The\"}"),
        AUDIO("r5", "http://www.example.com/five.wav", "{\"transcript\":\"The\",\"duration\":4}"),
        NULL,
};

static void test_srt(_unused_ void **state)
{
        const ExportOptions folder = { .folder = true };
        _cleanup_(exporter_freep) Exporter *x = NULL, *y = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("srt", &plain, NULL, recordings, &o);
        expect_counts(x, 5, 3);
        assert_int_equal(exporter_counts(x)->left_out[EXPORT_NO_ALIGNMENT], 1);
        assert_int_equal(exporter_counts(x)->recordings, 3);
        assert_string_equal(buffer_text(&o.stream),
                        "1\n00:00:00,300 --> 00:00:01,300\nHello \xe2\x80\xb9world> \xe2\x86\x92 x\n\n"
                        "2\n00:00:03,800 --> 00:00:04,800\nHello \xe2\x80\xb9world> \xe2\x86\x92 x\n\n");

        y = export("srt", &folder, NULL, recordings, &o);
        assert_int_equal(o.n_files, 3);
        assert_non_null(strstr(buffer_text(&o.files), "two.srt|\nthree.srt|1\n00:00:00,300 --> "));
        assert_non_null(strstr(
                        buffer_text(&o.stream), "\r\ntwo.srt,r 2,http://www.example.com/two.wav\r\n"));
}

static void test_vtt(_unused_ void **state)
{
        const char *const tasks[] = { AUDIO("--> 1", "http://www.example.com/%2D%2D%3E.wav", SPEECH), NULL };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("vtt", &plain, NULL, tasks, &o);
        assert_string_equal(buffer_text(&o.stream),
                        "WEBVTT\n\nNOTE _-_.wav, task _-_ 1\n\n"
                        "00:00:00.300 --> 00:00:01.300\nHello &lt;world&gt; --&gt; x\n\n");
}

static void test_ctm(_unused_ void **state)
{
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("ctm", &plain, NULL, recordings, &o);
        expect_counts(x, 5, 3);
        assert_int_equal(strncmp(buffer_text(&o.stream),
                                         "r1 1 0.300 0.400 Hello 0.90\nr1 1 0.700 0.200 <world> 0.30\n"
                                         "r1 1 0.900 0.200 --> 0.30\nr1 1 1.100 0.200 x 0.30\nr3 1 ",
                                         110),
                        0);
}

static void test_manifest(_unused_ void **state)
{
        const ExportOptions local = { .audio_folder = "/data/wav" };
        _cleanup_(exporter_freep) Exporter *x = NULL, *y = NULL;
        _cleanup_(out_done) Out o = {};

        x = export("manifest", &plain, NULL, recordings, &o);
        expect_counts(x, 5, 4);
        assert_int_equal(strncmp(buffer_text(&o.stream),
                                         "{\"audio_filepath\":\"http://www.example.com/"
                                         "one.wav\",\"duration\":2.5,"
                                         "\"text\":\"Hello <world>\",\"task_id\":\"r1\"}\n",
                                         100),
                        0);
        y = export("manifest", &local, NULL, recordings, &o);
        assert_non_null(strstr(buffer_text(&o.stream), "{\"audio_filepath\":\"/data/wav/two.wav\","));
}

/* The rest. */

static void test_what_is_no_task(_unused_ void **state)
{
        static const char *const lines[] = { "", "[]", "1", "{\"a\":", "{} {}", "\xff" };
        _cleanup_(out_done) Out o = { .stream = BUFFER_INIT(MAX_OUT) };
        const ExportCalls calls = { on_write, on_file, on_size, &o };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        ExportReason reason;

        assert_int_equal(exporter_new(export_format_find("ctm"), &plain, &calls, &x), 0);
        assert_int_equal(exporter_begin(x, 0), 0);
        FOREACH_ARRAY(l, lines, ELEMENTSOF(lines))
                assert_int_equal(exporter_take(x, *l, strlen(*l), &reason), -EBADMSG);
        expect_counts(x, 0, 0);
}

static void test_failed_writing_is_handed_on(_unused_ void **state)
{
        _cleanup_(out_done) Out o = { .stream = BUFFER_INIT(MAX_OUT), .failure = -ENOSPC };
        const ExportCalls calls = { on_write, on_file, on_size, &o };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        ExportReason reason;

        assert_int_equal(exporter_new(export_format_find("jsonl"), &plain, &calls, &x), 0);
        assert_int_equal(exporter_begin(x, 0), 0);
        assert_int_equal(exporter_take(x, "{}", 2, &reason), 0); /* kept until there is more */
        assert_int_equal(exporter_end(x), -ENOSPC);
}

static void test_tables(_unused_ void **state)
{
        assert_null(export_format_find("xml"));
        for (ExportReason r = EXPORT_FITS; r < _EXPORT_REASON_MAX; r++) {
                assert_non_null(export_reason_to_string(r));
                assert_non_null(export_reason_describe(r));
        }
        for (const ExportFormat *const *f = export_formats; *f; f++)
                assert_ptr_equal(export_format_find(export_format_name(*f)), *f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jsonl_is_verbatim),
                cmocka_unit_test(test_csv),
                cmocka_unit_test(test_csv_is_bounded),
                cmocka_unit_test(test_coco),
                cmocka_unit_test(test_coco_of_nothing),
                cmocka_unit_test(test_coco_with_a_list_of_classes),
                cmocka_unit_test(test_a_collision_of_classes),
                cmocka_unit_test(test_bad_lists_of_classes),
                cmocka_unit_test(test_yolo),
                cmocka_unit_test(test_voc),
                cmocka_unit_test(test_boxes_without_labels),
                cmocka_unit_test(test_srt),
                cmocka_unit_test(test_vtt),
                cmocka_unit_test(test_ctm),
                cmocka_unit_test(test_manifest),
                cmocka_unit_test(test_what_is_no_task),
                cmocka_unit_test(test_failed_writing_is_handed_on),
                cmocka_unit_test(test_tables),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
