/*
 * Boxes over their picture, or over an empty frame of the size that they need, and the table that says the same
 * in numbers. Some hundred boxes can be told apart: smaller ones lie above larger ones, labels stand where no
 * other does, and are shown for all or, where there are many, for the box that one looks at, which is raised
 * above all others. The drawing and the table are one stop each on the way through the page; the arrows go from
 * box to box.
 */

import { image } from "./attachment.js";
import { brief, count, finite, h, link, list, note, own, svg, text } from "./dom.js";

const BOXES_MAX = 1000;
const LABELS_SHOWN = 40;  /* boxes; with more, labels are shown when they are asked for */
const LABEL_PIXELS = 13, LABEL_MAX = 24, LABEL_ALONE_MAX = 60;
const COLOURS = 8;
const RINGS = 4;          /* how far from its box a label may be moved, in its own heights */

let ids = 0;

function boxesOf(response) {
        return list(own(response, "annotations")).map((a) => ({
                left: finite(own(a, "left")), top: finite(own(a, "top")), width: finite(own(a, "width")),
                height: finite(own(a, "height")), label: own(a, "label") })).filter((b) =>
                b.left !== null && b.top !== null && b.width > 0 && b.height > 0 &&
                Math.max(b.left + b.width, b.top + b.height) <= 1e6);
}

const labelOf = (box, size = LABEL_MAX) => brief(box.label ?? "", size);

/* How wide a text is at a font size of 1. */
const canvas = document.createElement("canvas").getContext("2d");
function widthOf(word) {
        canvas.font = "600 100px system-ui, sans-serif";
        return canvas.measureText(word).width / 100;
}

const apart = (a, b) => a.left >= b.left + b.width || b.left >= a.left + a.width ||
        a.top >= b.top + b.height || b.top >= a.top + a.height;

/* Where a label may stand: on the box, in it, below it, then farther and farther off. */
function* placesOf(box, width, height) {
        for (let ring = 0; ring <= RINGS; ring++) {
                const off = ring * height;
                yield [box.left, box.top - height - off];
                yield [box.left, box.top + off];
                yield [box.left, box.top + box.height + off];
                yield [box.left + box.width - width, box.top - height - off];
                yield [box.left + box.width + off, box.top];
                yield [box.left - width - off, box.top];
                yield [box.left + box.width / 2 - width / 2, box.top + box.height / 2 - height / 2 + off];
        }
}

/* A place for each label of so many characters that is on no other label; null where there is none. */
function placeLabels(boxes, size, frame, characters) {
        const taken = [];

        return boxes.map((box) => {
                const label = labelOf(box, characters);
                const width = widthOf(label) * size + size / 2, height = size * 1.25;
                if (!label)
                        return null;
                for (const [x, y] of placesOf(box, width, height)) {
                        const place = { left: Math.min(Math.max(x, 0), Math.max(frame.width - width, 0)),
                                top: Math.min(Math.max(y, 0), Math.max(frame.height - height, 0)), width, height };
                        if (taken.every((other) => apart(place, other))) {
                                taken.push(place);
                                return place;
                        }
                }
                return null;
        });
}

function labelElement(box, place, size, characters) {
        const label = svg("text", { x: place.left + size / 4, y: place.top + size }, labelOf(box, characters));
        label.style.fontSize = `${size}px`;
        return label;
}

/* From a label that had to move to its box. */
function leader(box, place) {
        const x = Math.min(Math.max(place.left, box.left), box.left + box.width);
        const y = Math.min(Math.max(place.top + place.height / 2, box.top), box.top + box.height);
        const from = Math.min(Math.max(x, place.left), place.left + place.width);
        const near = place.top + place.height >= box.top - 1 && place.top <= box.top + box.height + 1 &&
                place.left + place.width >= box.left - 1 && place.left <= box.left + box.width + 1;
        return near ? null : svg("line", { class: "leader", x1: from, y1: place.top + place.height / 2, x2: x, y2: y });
}

function rectangles(box) {
        return ["under", "over"].map((kind) =>
                svg("rect", { class: kind, x: box.left, y: box.top, width: box.width, height: box.height }));
}

/* The drawing: `look(i)` raises a box, `look(null)` none. `onLook(i)` is told what the reader points at. */
class Drawing {
        constructor(boxes, colour, onLook) {
                this.boxes = boxes;
                this.colour = colour;
                this.onLook = onLook;
                this.labels = boxes.length <= LABELS_SHOWN;
                this.at = null;
                this.top = svg("g", { class: "raised" });
                this.names = svg("g", { class: "names" });
                this.groups = boxes.map((b, i) => this.group(b, i));
                this.svg = svg("svg", { role: boxes.length ? "listbox" : "img", tabindex: boxes.length ? "0" : null,
                        "aria-label": `${count(boxes.length, "box", "boxes")}; the arrows go from one to the next, and the table has them`,
                        on: { keydown: (e) => this.onKey(e), pointerover: (e) => onLook(this.indexOf(e.target)),
                                pointerleave: () => onLook(null), focus: () => onLook(this.at ?? 0), blur: () => onLook(null) } },
                /* Small ones above large ones, or one could not point at them. */
                [...this.groups.keys()].sort((a, b) => area(boxes[b]) - area(boxes[a])).map((i) => this.groups[i]), this.names, this.top);
                this.frame = h("div", { class: "frame" }, this.svg);
                new ResizeObserver(() => this.layOut()).observe(this.frame);
        }

        group(box, i) {
                return svg("g", { class: `box colour-${this.colour(box)}`, role: "option", id: `box-${++ids}`, "aria-selected": "false",
                        "aria-label": `${i + 1}: ${labelOf(box) || "no label"}, left ${box.left}, top ${box.top}, ${box.width} by ${box.height}` }, rectangles(box));
        }

        indexOf(element) {
                const i = this.groups.indexOf(element.closest(".box"));
                return i < 0 ? null : i;
        }

        /* The size of the picture, in the units of the boxes. */
        draw(width, height) {
                this.size = { width, height };
                this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
                this.frame.style.aspectRatio = `${width} / ${height}`;
                this.frame.style.maxWidth = `min(100%, ${(70 * width) / height}vh)`;
                this.layOut();
        }

        /* Labels are as large as text is, whatever the size of the picture. */
        layOut() {
                const shown = this.frame.clientWidth;
                if (!shown || !this.size)
                        return;
                this.font = (LABEL_PIXELS * this.size.width) / shown;
                const places = this.labels ? placeLabels(this.boxes, this.font, this.size) : [];
                this.names.replaceChildren(...places.flatMap((place, i) => place ? [svg("g", { class: `named colour-${this.colour(this.boxes[i])}`,
                        "aria-hidden": "true" }, leader(this.boxes[i], place), labelElement(this.boxes[i], place, this.font))] : []));
                this.hidden = this.labels ? this.boxes.filter((b, i) => labelOf(b) && !places[i]).length : 0;
                this.onLayOut?.();
                this.look(this.at);
        }

        look(i) {
                if (this.at !== null && this.at !== i)
                        this.groups[this.at].setAttribute("aria-selected", "false");
                this.at = i;
                this.svg.classList.toggle("looking", i !== null);
                if (i === null || !this.font) {
                        this.top.replaceChildren();
                        this.svg.removeAttribute("aria-activedescendant");
                        return;
                }
                const box = this.boxes[i], [place] = placeLabels([box], this.font, this.size, LABEL_ALONE_MAX);
                this.groups[i].setAttribute("aria-selected", "true");
                this.svg.setAttribute("aria-activedescendant", this.groups[i].id);
                this.top.replaceChildren(svg("g", { class: `box lit colour-${this.colour(box)}`, "aria-hidden": "true" }, rectangles(box),
                        place && labelElement(box, place, this.font, LABEL_ALONE_MAX)));
        }

        onKey(event) {
                const to = stepOf(event, this.at, this.boxes.length);
                if (to !== null)
                        this.onLook(to);
        }
}

const area = (box) => box.width * box.height;

/* Where a key leads from the i-th of n; null: nowhere. */
function stepOf(event, i, n) {
        const keys = { ArrowDown: (i ?? -1) + 1, ArrowRight: (i ?? -1) + 1, ArrowUp: (i ?? n) - 1, ArrowLeft: (i ?? n) - 1, Home: 0, End: n - 1 };
        if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key) || n === 0)
                return null;
        event.preventDefault();
        return Math.min(Math.max(keys[event.key], 0), n - 1);
}

/* A number as it was given, or, where it has more digits than anybody reads, the front of it. */
function number(n) {
        const shown = String(Number(n.toFixed(2)));
        return h("td", { class: "number", title: shown === String(n) ? null : String(n) }, shown);
}

/* The table. `look(i)` marks a row; one row at a time can be tabbed to. */
function table(boxes, colour, onLook) {
        const rows = boxes.map((b, i) => h("tr", { class: `colour-${colour(b)}`, tabindex: i === 0 ? "0" : "-1", on: {
                pointerenter: () => onLook(i), pointerleave: () => onLook(null), focus: () => go(i), blur: () => onLook(null),
                keydown: (e) => {
                        const to = e.key === "ArrowLeft" || e.key === "ArrowRight" ? null : stepOf(e, i, boxes.length);
                        if (to !== null)
                                rows[to].focus();
                } } },
                h("td", { class: "number" }, String(i + 1)),
                h("td", { class: "label" }, h("span", { class: "swatch", "aria-hidden": "true" }), b.label === undefined ? h("span", { class: "none" }, "none") : text(b.label, 80)),
                number(b.left), number(b.top), number(b.width), number(b.height)));
        const go = (i) => {
                rows.forEach((row, k) => row.setAttribute("tabindex", k === i ? "0" : "-1"));
                onLook(i);
        };
        const element = h("table", { class: "boxes" },
                h("thead", {}, h("tr", {}, ["Box", "Label", "Left", "Top", "Width", "Height"].map((t, i) =>
                        h("th", { scope: "col", class: i !== 1 ? "number" : null }, t)))),
                h("tbody", {}, rows));
        return { element, look: (i) => rows.forEach((row, k) => row.classList.toggle("lit", k === i)), rows };
}

/* Brings a row into sight within its table: the page, and so the drawing, stays where it is. */
function showRow(scroller, row) {
        const all = scroller.getBoundingClientRect(), one = row.getBoundingClientRect(), head = 2 * one.height;
        if (one.bottom > all.bottom)
                scroller.scrollTop += one.bottom - all.bottom + head;
        else if (one.top < all.top + head)
                scroller.scrollTop -= all.top + head - one.top;
}

function labelSwitch(drawing) {
        const said = h("span", { class: "none" });
        const box = h("input", { type: "checkbox", checked: drawing.labels, on: { change: () => {
                drawing.labels = box.checked;
                drawing.layOut();
        } } });
        drawing.onLayOut = () => {
                said.textContent = drawing.hidden ? `${count(drawing.hidden, "label has", "labels have")} no room, but when one points at the box` : "";
        };
        return h("p", { class: "drawing-tools" }, h("label", { class: "choice" }, box, " labels"), said);
}

export function annotation(task, response) {
        const boxes = boxesOf(response), shown = boxes.slice(0, BOXES_MAX), attachment = own(own(task, "params"), "attachment");
        const labels = [...new Set(boxes.map((b) => JSON.stringify(b.label)))];
        const need = boxes.reduce((n, b) => [Math.max(n[0], b.left + b.width), Math.max(n[1], b.top + b.height)], [1, 1]);
        const colour = (b) => labels.indexOf(JSON.stringify(b.label)) % COLOURS;
        const says = h("p", { class: "note" }, "An empty frame, as large as the boxes need: the picture is not loaded.");

        const drawing = new Drawing(shown, colour, (i) => look(i, true));
        const rows = table(shown, colour, (i) => look(i, false));
        const look = (i, follow) => {
                drawing.look(i);
                rows.look(i);
                if (follow && i !== null && document.activeElement === drawing.svg)
                        showRow(scroller, rows.rows[i]);
        };
        drawing.draw(need[0] * 1.04, need[1] * 1.04);
        const loader = image(attachment, drawing.frame, (img) => {
                const width = img.naturalWidth || need[0], height = img.naturalHeight || need[1];
                drawing.draw(width, height);
                drawing.frame.classList.add("full");
                says.textContent = need[0] > width || need[1] > height ? "Some boxes reach beyond the picture." : "";
        });
        const scroller = h("div", { class: "scroll boxes-scroll" }, rows.element);
        return h("div", { class: "beside wide" },
                h("div", {}, drawing.frame, shown.length > 0 && labelSwitch(drawing), says, loader, h("p", { class: "where" }, link(attachment))),
                h("div", {}, scroller, boxes.length > shown.length && note(`${count(boxes.length - shown.length, "more box", "more boxes")} not drawn.`),
                        list(own(response, "annotations")).length > boxes.length && note("What is no box is left out here; see the JSON.")));
}
