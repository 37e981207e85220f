"""Requests as the generator sends them: callbacks of all six types, 1 to 2 KB, made before the clock runs.

In place of each id stand 24 `%`, of each time 24 `#`: the generator writes over them."""

import json

KEY = "made-up-key-0123456789"
ID, STAMP = "%" * 24, "#" * 24

WORDS = ("the quick brown fox jumps over a lazy dog while seven wizards quietly mix five dozen jugs of liquor and "
         "nobody at all keeps count of what is left on the shelf").split()


def text(size, start=0):
    """Words, so many bytes of them."""
    words = []
    while sum(map(len, words)) + len(words) < size + 8:
        words.append(WORDS[(start + len(words) * 7) % len(WORDS)])
    return " ".join(words)[:size]


def words_of(transcript):
    at, words = 0.2, []
    for n, word in enumerate(transcript.split()):
        long = 0.1 + 0.04 * len(word)
        words.append({"word": word, "start": round(at, 2), "end": round(at + long, 2),
                      "confidence": 0.3 if n % 9 == 8 else 0.9})
        at += long + 0.06
    return words, round(at + 0.5, 2)


def categorization():
    params = {"attachment_type": "website", "attachment": "https://www.example.com/companies/4711",
              "categories": ["public", "private", "nonprofit", "government"], "allow_multiple": True}
    return params, {"category": ["public", "government"]}


def comparison():
    params = {"attachment_type": "image", "attachments": ["https://www.example.com/patterns/left.jpg",
                                                          "https://www.example.com/patterns/right.jpg"],
              "choices": ["yes", "no", "can't tell"]}
    return params, {"choice": "yes"}


def datacollection():
    fields = {"street": "The street and the number", "city": "The city", "phone": "As it is written there",
              "hours": "When it is open"}
    params = {"attachment_type": "website", "attachment": "https://www.example.com/restaurants/4711", "fields": fields}
    return params, {"fields": {"street": "1 Example Street", "city": "Springfield", "phone": "+1 555 0100",
                               "hours": "Mon-Fri 11:00-22:00"}}


def annotation():
    params = {"attachment_type": "image", "attachment": "https://www.example.com/images/cows-4711.jpg",
              "objects_to_annotate": ["baby cow", "big cow"], "with_labels": True, "min_width": 30, "min_height": 30}
    boxes = [{"left": 17 + 31 * n, "top": 10 + 23 * n, "width": 64 + n, "height": 39 + n,
              "label": "big cow" if n % 3 else "baby cow"} for n in range(5)]
    return params, {"annotations": boxes}


def transcription():
    params = {"attachment_type": "image", "attachment": "https://www.example.com/receipts/4711.jpg",
              "fields": {"title": "The title of the page", "total": "The sum", "date": "As it is printed"}}
    return params, {"fields": {"title": text(60, 3), "total": "12.50", "date": "23 June 2016"}}


def audiotranscription():
    transcript = text(40, 5)
    words, duration = words_of(transcript)
    params = {"attachment_type": "audio", "attachment": "https://www.example.com/speech/4711.wav", "verbatim": False}
    return params, {"transcript": transcript, "duration": duration, "alignment": words}


TYPES = {make.__name__: make for make in (categorization, comparison, datacollection, annotation, transcription,
                                          audiotranscription)}
SIZES = {"categorization": 1024, "comparison": 1100, "datacollection": 1300, "annotation": 1800,
         "transcription": 1200, "audiotranscription": 2048}


def body(name, size=None):
    """A callback, in exactly so many bytes: the instruction gives way."""
    params, response = TYPES[name]()
    size = size or SIZES[name]

    def render(instruction):
        task = {"task_id": ID, "completed_at": STAMP, "created_at": STAMP,
                "callback_url": "https://hooks.example.com/callback", "type": name, "status": "completed",
                "instruction": instruction, "urgency": "day", "params": params, "response": response, "metadata": {}}
        return json.dumps({"response": response, "task_id": ID, "task": task}, separators=(",", ":")).encode()

    short = size - len(render(""))
    assert short >= 0, f"{name} doesn't fit into {size} bytes: it takes {-short} more"
    return render(text(short))


def request(method, target, body=b"", *headers):
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", "User-Agent: bench", *headers]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def callbacks(*headers, key=KEY, size=None):
    """One of each type, as requests."""
    return [request("POST", "/callback", body(name, size), f"scale-callback-auth: {key}", *headers) for name in TYPES]


def write(path, requests):
    with open(path, "wb") as file:
        for one in requests:
            file.write(b"%d\n" % len(one) + one)


if __name__ == "__main__":
    for kind in TYPES:
        print(kind, len(body(kind)))
