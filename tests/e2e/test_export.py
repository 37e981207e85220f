"""Exports: every format is read back by a program or library that others use for it."""

import csv
import io
import json
import os
import re
import struct
import subprocess
import time
import xml.etree.ElementTree as ET
import zlib

import pytest

from harness import SCALECTL, WAIT, callback, sample, scalectl, task_id

csv.field_size_limit(1 << 24)

DAY = "2016-06-23T"


def export(daemon, *arguments, status=0):
    run = scalectl(daemon, "export", *arguments)
    assert run.returncode == status, (run.returncode, run.stderr)
    assert "Sanitizer" not in run.stderr and "runtime error" not in run.stderr
    return run


def counts(run):
    """What it said: read, exported, left out, and the reasons."""
    match = re.search(r"read (\d+), exported (\d+), left out (\d+)(?:: (.*))?$", run.stderr, re.M)
    reasons = dict(reversed(part.split(" ", 1)) for part in match[4].split(", ")) if match[4] else {}
    return int(match[1]), int(match[2]), int(match[3]), {k: int(v) for k, v in reasons.items()}


def box(left, top, width, height, label=None):
    sides = {"left": left, "top": top, "width": width, "height": height}
    return {**sides, "label": label} if label else sides


def annotation(url, boxes, labels=("cow", "dog"), id=None, **more):
    """A callback of an annotation task; `boxes` may be the whole response."""
    response = boxes if isinstance(boxes, dict) else {"annotations": boxes}
    params = {"attachment_type": "image", "attachment": url, "objects_to_annotate": list(labels), "with_labels": True}
    return callback(response, id, type="annotation", params=params, **more)


def recording(url, words, duration=20.0, id=None, **more):
    response = words if isinstance(words, dict) else {
        "transcript": " ".join(w["word"] for w in words), "duration": duration, "alignment": words}
    params = {"attachment_type": "audio", "attachment": url}
    return callback(response, id, type="audiotranscription", params=params, **more)


def word(text, start, end, confidence=0.9):
    return {"word": text, "start": start, "end": end, "confidence": confidence}


EVERY_TYPE = ["categorization/valid-several", "comparison/valid-both", "datacollection/valid", "annotation/valid",
              "transcription/valid", "audiotranscription/valid", "unknown-type/valid-nested"]


def deliver_every_type(daemon):
    """One callback of each type, each with an id of its own. The tasks, newest first."""
    tasks = []
    for i, name in enumerate(EVERY_TYPE):
        body = json.loads(sample(name))
        body["task_id"] = body["task"]["task_id"] = task_id()
        body["task"]["created_at"] = f"{DAY}09:0{i}:00.000Z"
        daemon.deliver(body)
        tasks.insert(0, body["task"])
    return tasks


# JSON lines and CSV.

def test_jsonl_is_lossless(daemon):
    tasks = deliver_every_type(daemon)
    run = export(daemon)
    assert [json.loads(line) for line in run.stdout.splitlines()] == tasks
    assert counts(run) == (7, 7, 0, {})
    assert run.stdout.encode() == daemon.query.get("/v1/export").body


def test_one_task(daemon, tmp_path):
    tasks = deliver_every_type(daemon)
    assert json.loads(export(daemon, "--task", tasks[2]["task_id"]).stdout) == tasks[2]
    out = tmp_path / "x.srt"
    export(daemon, "--format", "srt", "--task", tasks[1]["task_id"], "--strict", "-o", out)
    assert "avocado" in out.read_text()
    export(daemon, "--format", "srt", "--task", tasks[2]["task_id"], "--strict", "-o", tmp_path / "y.srt", status=65)
    export(daemon, "--task", "nope", status=1)
    export(daemon, "--task", "x", "--type", "annotation", status=64)


def test_csv_is_read_by_python(daemon, tmp_path):
    tasks = deliver_every_type(daemon)
    odd = callback({"category": "big"}, metadata={"note": 'a "quoted", one\r\nand\nmore', "empty": "", "n": 1.5, "list": [1, "ä"]},
                   instruction="=HYPERLINK(1)", created_at=f"{DAY}23:00:00Z")
    daemon.deliver(odd)
    run = export(daemon, "--format", "csv", "-o", tmp_path / "tasks.csv")
    text = (tmp_path / "tasks.csv").read_bytes().decode()
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [r["task_id"] for r in rows] == [odd["task_id"]] + [t["task_id"] for t in tasks]
    assert counts(run) == (8, 8, 0, {})
    first = rows[0]
    assert first["metadata.note"] == odd["task"]["metadata"]["note"] and first["metadata.empty"] == ""
    assert first["metadata.n"] == "1.5" and json.loads(first["metadata.list"]) == [1, "ä"]
    assert first["instruction"] == "=HYPERLINK(1)" and first["response.category"] == "big"
    by_type = {r["type"]: r for r in rows[1:]}
    assert by_type["datacollection"]["response.fields.ceo"] == "two"
    assert by_type["comparison"]["response.fields.difference"] == "The colour."
    assert json.loads(by_type["annotation"]["response.annotations"]) == tasks[3]["response"]["annotations"]
    assert json.loads(by_type["categorization"]["response.category"]) == tasks[6]["response"]["category"]
    # Every value of every task is in exactly one cell.
    for row, task in zip(rows[1:], tasks):
        for name in ("params", "response"):
            for key, value in task[name].items():
                if not isinstance(value, (dict, str)):
                    assert json.loads(row[f"{name}.{key}"]) == value
    run = export(daemon, "--format", "csv", "--spreadsheet")
    assert next(csv.DictReader(io.StringIO(run.stdout, newline="")))["instruction"] == "'=HYPERLINK(1)"


# COCO.

class Coco:
    """Reads a file as pycocotools does, and is stricter: every number is known, none is there twice."""

    def __init__(self, text):
        self.data = json.loads(text, object_pairs_hook=self.unique)
        self.images = self.index("images")
        self.annotations = self.index("annotations")
        self.categories = self.index("categories")
        for a in self.annotations.values():
            assert a["image_id"] in self.images and a["category_id"] in self.categories
            assert len(a["bbox"]) == 4 and a["area"] == pytest.approx(a["bbox"][2] * a["bbox"][3])
            assert a["iscrowd"] == 0 and a["segmentation"] == []

    @staticmethod
    def unique(pairs):
        assert len({k for k, _ in pairs}) == len(pairs)
        return dict(pairs)

    def index(self, name):
        found = {row["id"]: row for row in self.data[name]}
        assert len(found) == len(self.data[name]) and all(0 < id < 1 << 53 for id in found)
        return found

    def category_ids(self):
        return {c["name"]: c["id"] for c in self.categories.values()}

    def image_ids(self):
        return {i["task_id"]: i["id"] for i in self.images.values()}

    def boxes(self, task):
        return [(a["bbox"], self.categories[a["category_id"]]["name"]) for a in self.annotations.values()
                if a["image_id"] == self.image_ids()[task]]


def test_coco(daemon, tmp_path):
    bodies = [annotation("http://www.example.com/a.jpg", [box(1, 2.5, 30, 40, "cow"), box(0, 0, 1, 1, "dog")]),
              annotation("http://www.example.com/b.jpg", []),
              annotation("http://www.example.com/c.jpg", {"error": "The image cannot be loaded."})]
    for body in bodies:
        daemon.deliver(body)
    deliver_every_type(daemon)
    out = tmp_path / "boxes.json"
    run = export(daemon, "--format", "coco", "-o", out)
    assert counts(run) == (10, 3, 7, {"whose response is an error": 1, "of a type that has no such form": 6})
    coco = Coco(out.read_text())
    a, b, c = (body["task_id"] for body in bodies)
    assert coco.boxes(a) == [([1, 2.5, 30, 40], "cow"), ([0, 0, 1, 1], "dog")]
    assert coco.boxes(b) == [] and c not in coco.image_ids()  # somebody found nothing, and nobody has looked
    assert {i["file_name"] for i in coco.images.values()} == {"a.jpg", "b.jpg", "cows.jpg"}


def test_coco_is_read_by_pycocotools(daemon, tmp_path):
    pytest.importorskip("pycocotools", reason="Debian 12 has no package of pycocotools")
    from pycocotools.coco import COCO
    body = annotation("http://www.example.com/a.jpg", [box(1, 2.5, 30, 40, "cow")])
    daemon.deliver(body)
    export(daemon, "--format", "coco", "-o", tmp_path / "boxes.json")
    coco = COCO(str(tmp_path / "boxes.json"))
    [image] = coco.loadImgs(coco.getImgIds(catIds=coco.getCatIds(catNms=["cow"])))
    [found] = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    assert image["task_id"] == body["task_id"] and found["bbox"] == [1, 2.5, 30, 40]


def test_numbers_of_coco_stay(daemon, tmp_path):
    """From run to run, in any selection, when other images and categories come, and after a revision."""
    body = annotation("http://www.example.com/a.jpg", [box(1, 2, 3, 4, "cow")], created_at=f"{DAY}09:00:00Z")
    daemon.deliver(body)
    first = Coco(export(daemon, "--format", "coco").stdout)
    assert export(daemon, "--format", "coco").stdout == export(daemon, "--format", "coco").stdout
    daemon.deliver(annotation("http://www.example.com/a.jpg", [box(1, 2, 3, 4, "ant"), box(1, 2, 3, 4, "cow")],
                              labels=["ant", "cow"], created_at=f"{DAY}10:00:00Z"))
    daemon.deliver(annotation("http://www.example.com/a.jpg", [box(9, 9, 9, 9, "dog")], id=body["task_id"],
                              created_at=f"{DAY}09:00:00Z", completed_at=f"{DAY}11:00:00Z"))
    second = Coco(export(daemon, "--format", "coco").stdout)
    assert second.image_ids()[body["task_id"]] == first.image_ids()[body["task_id"]]
    assert second.category_ids()["cow"] == first.category_ids()["cow"]
    assert second.boxes(body["task_id"]) == [([9, 9, 9, 9], "dog")]
    part = Coco(export(daemon, "--format", "coco", "--until", "2016-06-23T09:30Z").stdout)
    assert part.image_ids()[body["task_id"]] == first.image_ids()[body["task_id"]]


def test_a_list_of_classes_is_kept(daemon, tmp_path):
    classes = tmp_path / "classes.txt"
    daemon.deliver(annotation("http://www.example.com/a.jpg", [box(1, 2, 3, 4, "cow"), box(1, 2, 3, 4, "dog")]))
    coco = Coco(export(daemon, "--format", "coco", "--classes", classes).stdout)
    assert coco.category_ids() == {"cow": 1, "dog": 2} and classes.read_text() == "cow\ndog\n"
    daemon.deliver(annotation("http://www.example.com/b.jpg", [box(1, 2, 3, 4, "ant")], labels=["ant"]))
    coco = Coco(export(daemon, "--format", "coco", "--classes", classes).stdout)
    assert coco.category_ids() == {"cow": 1, "dog": 2, "ant": 3} and classes.read_text() == "cow\ndog\nant\n"
    classes.write_text("cow\ncow\n")
    assert "line 2" in export(daemon, "--format", "coco", "--classes", classes, status=65).stderr


# YOLO and VOC.

def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = zlib.compress(b"".join(b"\0" + b"\0\0\0" * width for _ in range(height)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def make_jpeg(path, width, height):
    """Made by somebody else: what a real encoder writes is what has to be read."""
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=red:size={width}x{height}", "-frames:v", "1",
                    str(path)], check=True, timeout=WAIT)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "one.png").write_bytes(png(200, 100))
    make_jpeg(folder / "two cows.jpg", 320, 240)
    (folder / "text.jpg").write_text("no image")
    return folder


def deliver_images(daemon):
    bodies = [annotation("http://www.example.com/one.png", [box(20, 10, 40, 20, "dog"), box(150, 50, 100, 50, "cow")],
                         created_at=f"{DAY}09:05:00Z"),
              annotation("http://www.example.com/two%20cows.jpg?x=1", [], created_at=f"{DAY}09:04:00Z"),
              annotation("http://www.example.com/text.jpg", [box(1, 1, 1, 1, "cow")], created_at=f"{DAY}09:03:00Z"),
              annotation("http://www.example.com/missing.jpg", [box(1, 1, 1, 1, "zebra")], labels=["zebra"],
                         created_at=f"{DAY}09:02:00Z"),
              annotation("http://www.example.com/one.png", [box(500, 500, 1, 1, "cow")], created_at=f"{DAY}09:01:00Z")]
    for body in bodies:
        daemon.deliver(body)
    return bodies


LEFT_OUT = (5, 2, 3, {"with an image of unknown size": 2, "with a box outside of its image": 1})


def test_coco_cuts_boxes_where_the_size_is_known(daemon, images):
    """As the other two formats of boxes, which need all sizes."""
    first, *_, last = deliver_images(daemon)
    run = export(daemon, "--format", "coco", "--images", images)
    assert counts(run) == (5, 4, 1, {"with a box outside of its image": 1}) and "cut to it: 1" in run.stderr
    coco = Coco(run.stdout)
    assert coco.boxes(first["task_id"]) == [([20, 10, 40, 20], "dog"), ([150, 50, 50, 50], "cow")]
    assert last["task_id"] not in coco.image_ids()
    run = export(daemon, "--format", "coco")
    assert counts(run) == (5, 5, 0, {}) and "cut to it" not in run.stderr


def test_yolo(daemon, tmp_path, images):
    bodies = deliver_images(daemon)
    out = tmp_path / "yolo"
    run = export(daemon, "--format", "yolo", "--images", images, "-o", out)
    assert counts(run) == LEFT_OUT and "cut to it: 1" in run.stderr
    assert (out / "classes.txt").read_text() == "cow\ndog\n"
    lines = (out / "labels/one.txt").read_text().splitlines()
    assert [line.split() for line in lines] == [["1", "0.200000", "0.200000", "0.200000", "0.200000"],
                                                ["0", "0.875000", "0.750000", "0.250000", "0.500000"]]
    assert (out / "labels/two cows.txt").read_text() == ""
    rows = list(csv.DictReader(open(out / "index.csv", newline="")))
    assert {(r["file"], r["task_id"]) for r in rows} == {("labels/one.txt", bodies[0]["task_id"]),
                                                         ("labels/two cows.txt", bodies[1]["task_id"])}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d0", "images", "yolo"]
    yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == {0: "cow", 1: "dog"}


def test_voc(daemon, tmp_path, images):
    deliver_images(daemon)
    out = tmp_path / "voc"
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image,width,height\nhttp://www.example.com/one.png,200,100\ntwo cows.jpg,320,240\n")
    assert counts(export(daemon, "--format", "voc", "--sizes", sizes, "-o", out)) == LEFT_OUT
    root = ET.parse(out / "Annotations/one.xml").getroot()
    assert root.findtext("filename") == "one.png" and root.findtext("path") == "http://www.example.com/one.png"
    assert [root.findtext(f"size/{x}") for x in ("width", "height", "depth")] == ["200", "100", "3"]
    found = [(o.findtext("name"), *(int(o.findtext(f"bndbox/{x}")) for x in ("xmin", "ymin", "xmax", "ymax")))
             for o in root.iter("object")]
    assert found == [("dog", 21, 11, 60, 30), ("cow", 151, 51, 200, 100)]
    assert list(ET.parse(out / "Annotations/two cows.xml").getroot().iter("object")) == []


def test_sizes_are_read_as_others_read_them(daemon, tmp_path):
    """JPEGs and PNGs of a real encoder, in several sizes, against the sizes that ffprobe tells."""
    folder = tmp_path / "images"
    folder.mkdir()
    names = {}
    for i, (width, height) in enumerate([(2, 2), (16, 333), (641, 7), (1920, 1080)]):
        for kind in ("jpg", "png"):
            name = f"{i}.{kind}"
            make_jpeg(folder / name, width, height)
            probe = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", folder / name],
                                   check=True, capture_output=True, text=True, timeout=WAIT)
            names[name] = tuple(map(int, probe.stdout.strip().split(",")))
            daemon.deliver(annotation(f"http://www.example.com/{name}", []))
    coco = Coco(export(daemon, "--format", "coco", "--images", folder).stdout)
    assert {i["file_name"]: (i["width"], i["height"]) for i in coco.images.values()} == names


NASTY = ["http://www.example.com/../../../etc/passwd", "http://www.example.com/..%2f..%2fx.jpg", "http://www.example.com/%2e%2e",
         "http://www.example.com/.hidden.jpg", "http://www.example.com/a%00b.jpg", "http://www.example.com/" + "x" * 5000 + ".jpg",
         "http://www.example.com/", "http://www.example.com/-rf", "http://www.example.com/same.jpg", "http://www.example.com/x/same.png",
         "http://www.example.com/y/same.jpg", "http://www.example.com/%ff%fe.jpg", "http://www.example.com/index.csv"]


@pytest.mark.parametrize("form, extension", [("yolo", ".txt"), ("voc", ".xml")])
def test_names_of_files_are_safe_and_unique(daemon, tmp_path, form, extension):
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("".join(f'"{url}",100,100\n' for url in NASTY))
    for i, url in enumerate(NASTY):
        daemon.deliver(annotation(url, [box(i, i, 1, 1, "cow")]))
    out = tmp_path / "in" / "out"
    out.parent.mkdir()
    run = export(daemon, "--format", form, "--sizes", sizes, "--strict", "-o", out)
    assert counts(run)[1] == len(NASTY) and "was taken (see index.csv): 2" in run.stderr
    rows = list(csv.DictReader(open(out / "index.csv", newline="")))
    files = {str(p.relative_to(out)) for p in out.glob("*/*")}
    assert {r["file"] for r in rows} == files and len(files) == len(NASTY)
    assert {r["attachment"] for r in rows} == set(NASTY)
    assert all(f.endswith(extension) and not os.path.basename(f).startswith((".", "-")) for f in files)
    assert [p.name for p in out.parent.iterdir()] == ["out"]


# Subtitles.

SPEECH = [word("Hello", 0.3, 0.7), word("<world>", 0.8, 1.2, 0.3), word("--> & more.", 1.3, 2.0), word("After", 5.0, 5.5),
          word("a", 5.5, 5.6), word("silence,", 5.6, 6.2)] + [word("words", 7 + i / 4, 7.2 + i / 4) for i in range(40)]


def cues_by_ffmpeg(path):
    """As ffmpeg reads them: start, end and text."""
    run = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "json", str(path)],
                         check=True, capture_output=True, text=True, timeout=WAIT)
    packets = json.loads(run.stdout)["packets"]
    text = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-f", "srt", "-"], check=True, capture_output=True, text=True,
                          timeout=WAIT)
    assert run.stderr == "" and text.stderr == ""
    blocks = [block.split("\n", 2)[2] for block in text.stdout.strip().split("\n\n")]
    assert len(blocks) == len(packets)
    return [(float(p["pts_time"]), float(p["pts_time"]) + float(p["duration_time"]), b) for p, b in zip(packets, blocks)]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_are_read_by_ffmpeg(daemon, tmp_path, form):
    daemon.deliver(recording("http://www.example.com/talk.wav", SPEECH))
    daemon.deliver(recording("http://www.example.com/noise.wav", {"error": "noise", "transcript": "a part"}))
    out = tmp_path / f"x.{form}"
    run = export(daemon, "--format", form, "-o", out)
    assert counts(run) == (2, 1, 1, {"whose response is an error": 1})
    cues = cues_by_ffmpeg(out)
    assert cues[0][0] == 0.3 and cues[1][0] == 5.0
    for (start, end, text), after in zip(cues, cues[1:] + [(1e9, 0, "")]):
        assert 0 < end - start <= 7.001 and end <= after[0] + 0.001
        assert 1 <= len(text.split("\n")) <= 2
    for line in out.read_text().replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").split("\n"):
        assert len(line) <= 42 or "-->" in line or line.startswith("NOTE")
    words = " ".join(text.replace("\n", " ") for _, _, text in cues).split()
    spoken = " ".join(w["word"] for w in SPEECH).split()
    if form == "vtt":
        # ffmpeg writes SRT without escapes, and its VTT reader undoes ours.
        assert words == spoken
        assert "&lt;world&gt; --&gt; &amp; more." in out.read_text()
    else:
        # It has none, and ffmpeg would take <world> for a tag.
        assert words == [w.replace("<", "\u2039").replace("-->", "\u2192") for w in spoken]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_in_a_folder(daemon, tmp_path, form):
    for i in range(3):
        daemon.deliver(recording(f"http://www.example.com/{i}/talk.wav", [word(f"number{i}", i, i + 1)], id=f"task{i}",
                                 created_at=f"{DAY}09:0{i}:00Z"))
    run = export(daemon, "--format", form, "-o", f"{tmp_path}/subtitles/")
    files = {r["task_id"]: r["file"] for r in csv.DictReader(open(tmp_path / "subtitles/index.csv", newline=""))}
    assert files == {"task2": f"talk.{form}", "task1": f"talk-task1.{form}", "task0": f"talk-task0.{form}"}
    for i in range(3):
        [(start, _, text)] = cues_by_ffmpeg(tmp_path / "subtitles" / files[f"task{i}"])
        assert (start, text) == (i, f"number{i}")
    # In one file they follow each other, and it says so.
    out = tmp_path / f"all.{form}"
    run = export(daemon, "--format", form, "-o", out)
    assert "3 recordings follow each other" in run.stderr
    assert [(c[0], c[2]) for c in cues_by_ffmpeg(out)] == [(2, "number2"), (21, "number1"), (40, "number0")]


# Speech.

def test_ctm(daemon):
    daemon.deliver(recording("http://www.example.com/talk.wav", [word("new york", 1, 2), word("\n \u2028", 2, 3), word("city", 3, 3.25, 0.3)], id="t 1"))
    run = export(daemon, "--format", "ctm", "--strict")
    rows = [line.split(" ") for line in run.stdout.splitlines()]
    assert rows == [["t_1", "1", "1.000", "0.500", "new", "0.90"], ["t_1", "1", "1.500", "0.500", "york", "0.90"],
                    ["t_1", "1", "3.000", "0.250", "city", "0.30"]]


def test_manifest(daemon):
    daemon.deliver(recording("http://www.example.com/talk%201.wav", SPEECH, id="t1"))
    [row] = [json.loads(line) for line in export(daemon, "--format", "manifest").stdout.splitlines()]
    assert row == {"audio_filepath": "http://www.example.com/talk%201.wav", "duration": 20.0, "task_id": "t1",
                   "text": " ".join(w["word"] for w in SPEECH)}
    [row] = [json.loads(line) for line in export(daemon, "--format", "manifest", "--audio", "/data").stdout.splitlines()]
    assert row["audio_filepath"] == "/data/talk 1.wav"


# What is exported, and what is said.

def test_what_is_left_out_is_counted(daemon, tmp_path):
    for name in ("valid", "valid-error", "valid-none-found"):
        body = json.loads(sample(f"annotation/{name}"))
        body["task_id"] = body["task"]["task_id"] = name
        daemon.deliver(body)
    run = export(daemon, "--format", "coco", "--verbose")
    assert counts(run) == (3, 2, 1, {"whose response is an error": 1})
    assert "valid-error is left out: a task whose response is an error" in run.stderr
    run = export(daemon, "--format", "coco", "--json")
    said = json.loads(run.stderr)
    assert said == {"read": 3, "exported": 2, "left_out": 1, "reasons": {"error": 1}, "cut_boxes": 0, "renamed_files": 0,
                    "last_event": 3}


@pytest.mark.parametrize("form", ["jsonl", "csv", "coco", "yolo", "voc", "srt", "vtt", "ctm", "manifest"])
def test_strict(daemon, tmp_path, form):
    """With --strict nothing is kept when something was left out; without, what there is."""
    daemon.deliver(annotation("http://www.example.com/one.png", [box(1, 1, 1, 1, "cow")]))
    daemon.deliver(recording("http://www.example.com/one.wav", SPEECH))
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("one.png,10,10\n")
    more = ["--sizes", sizes] if form in ("yolo", "voc") else []
    fits_all = form in ("jsonl", "csv")
    out = tmp_path / "out"
    run = export(daemon, "--format", form, *more, "--strict", "-o", out, status=0 if fits_all else 65)
    assert out.exists() == fits_all and counts(run)[2] == (0 if fits_all else 1)
    assert "--strict" in run.stderr or fits_all
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("out.")]
    export(daemon, "--format", form, *more, "-o", tmp_path / "again")
    assert (tmp_path / "again").exists()


def test_after_is_what_is_new(daemon):
    first = [callback({"category": "big"}) for _ in range(5)]
    for body in first:
        daemon.deliver(body)
    run = export(daemon)
    mark = re.search(r"--after (\d+)$", run.stderr, re.M)[1]
    assert export(daemon, "--after", mark).stdout == ""
    new = callback({"category": "big"})
    daemon.deliver(new)
    daemon.deliver(callback({"category": "small"}, first[2]["task_id"], completed_at="2016-06-24T00:00:00Z"))
    rows = [json.loads(line) for line in export(daemon, "--after", mark).stdout.splitlines()]
    assert {r["task_id"] for r in rows} == {new["task_id"], first[2]["task_id"]}
    assert {r["response"]["category"] for r in rows} == {"big", "small"}
    # Across pages of the daemon's own list.
    for _ in range(150):
        daemon.deliver(callback())
    assert len(export(daemon, "--after", mark).stdout.splitlines()) == 152


def test_filters(daemon):
    bodies = [callback(metadata={"batch": i % 3}, created_at=f"{DAY}09:{i:02}:00Z") for i in range(12)]
    for body in bodies:
        daemon.deliver(body)

    def ids(*arguments):
        return [json.loads(line)["task_id"] for line in export(daemon, *arguments).stdout.splitlines()]

    assert ids("--metadata", "batch=1") == [b["task_id"] for b in bodies[1::3]][::-1]
    assert ids("--status", "pending") == [] and len(ids("--status", "completed")) == 12
    assert ids("--since", "2016-06-23T09:10Z", "--until", "2016-06-23T09:10:30Z") == [bodies[10]["task_id"]]
    assert ids("--type", "annotation") == []
    export(daemon, "--status", "done", status=64)
    export(daemon, "--metadata", "batch", status=64)


@pytest.mark.parametrize("arguments", [
    ["--format", "xml"], ["--format", "yolo", "-o", "x"], ["--format", "voc", "--sizes", "x"], ["--format", "ctm", "--sizes", "x"],
    ["--format", "voc", "--classes", "x"], ["--format", "csv", "--audio", "x"], ["--spreadsheet"], ["--after", "x"], ["more"],
])
def test_what_does_not_go_together(daemon, arguments, tmp_path):
    assert "scalectl: " in export(daemon, *arguments, status=64).stderr


def test_what_was_there_stays(daemon, tmp_path):
    daemon.deliver(annotation("http://www.example.com/one.png", [box(1, 1, 1, 1, "cow")]))
    sizes, out = tmp_path / "sizes.csv", tmp_path / "out"
    sizes.write_text("one.png,10,10\n")
    out.mkdir()
    (out / "mine").write_text("mine")
    run = export(daemon, "--format", "yolo", "--sizes", sizes, "-o", out, status=73)
    assert "not empty" in run.stderr and [p.name for p in out.iterdir()] == ["mine"]
    daemon.stop()
    file = tmp_path / "file"
    file.write_text("old")
    export(daemon, "--format", "coco", "-o", file, status=69)
    assert file.read_text() == "old"
    daemon.start()


def test_the_daemon_dies_meanwhile(make_daemon, tmp_path):
    """What was cut short is not taken for the whole."""
    daemon = make_daemon().start()
    for i in range(40):
        daemon.deliver(callback(instruction="x" * 500_000))
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    options = [x for o in (f"query.socket={daemon.query.path}", f"control.socket={daemon.control.path}") for x in ("-o", o)]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    slow = subprocess.Popen([str(SCALECTL), *options, "export", "-o", str(fifo)], stderr=subprocess.PIPE, text=True)
    with open(fifo, "rb") as f:
        assert f.read(1000)
        daemon.kill()
        while f.read(1 << 20):
            pass
    assert slow.wait(WAIT) == 74 and "cut short" in slow.stderr.read()
    assert out.read_text() == "old"
    daemon.start()


# Memory.

def peak(daemon, *arguments):
    """The most memory that an export has at a time, in KiB. (What wait4() tells includes the memory of whoever forked.)"""
    options = [x for o in (f"query.socket={daemon.query.path}", f"control.socket={daemon.control.path}") for x in ("-o", o)]
    process = subprocess.Popen([str(SCALECTL), *options, "export", *map(str, arguments)], stderr=subprocess.DEVNULL,
                               env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"})
    most = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            match = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.M)
        most = max(most, int(match[1]) if match else 0)
        time.sleep(0.001)
    assert process.returncode == 0 and most > 0
    return most


FORMATS = ["jsonl", "csv", "coco", "yolo", "voc", "srt", "vtt", "ctm", "manifest"]


@pytest.mark.load
def test_memory_does_not_grow_with_the_number_of_tasks(daemon, tmp_path):
    few, many = 200, 2000
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("x.jpg,1000,1000\n")
    before = {}

    def fill(n):
        for i in range(n):
            boxes = [box(k, k, 5, 5, "cow" if k % 2 else "dog") for k in range(40)]
            words = [word("word", k, k + 0.5) for k in range(40)]
            daemon.deliver(annotation("http://www.example.com/x.jpg", boxes, instruction="y" * 6000) if i % 2 else
                           recording("http://www.example.com/x.wav", words, 100, instruction="y" * 6000))

    def measure(n):
        return {form: peak(daemon, "--format", form, *(["--sizes", sizes] if form in ("yolo", "voc") else []),
                           "-o", tmp_path / f"{form}{n}{'/' if form in ('srt', 'vtt') else ''}") for form in FORMATS}

    fill(few)
    before = measure(few)
    fill(many - few)
    after = measure(many)
    # What comes to hold tasks shows: they are larger together than the program with its libraries.
    assert (tmp_path / "jsonl2000").stat().st_size > 12 << 20
    assert all(after[form] < before[form] * 1.3 + 1024 for form in FORMATS), (before, after)
