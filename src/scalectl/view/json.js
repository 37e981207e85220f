/*
 * JSON as its text: laid out a value a line, with every number and string as it was written, and with the
 * place of each line, so that problems can be shown where they are. What is no JSON is shown as the text that
 * it is. Nothing recurses: a body may be nested as deep as it likes.
 */

import { clean, count, cut, h } from "./dom.js";

const LINES_MAX = 20000; /* laid out; beyond, scalectl has it */
const STEP = 1000;       /* lines shown at a time */
const STRING_MAX = 2000; /* characters of one value */
const TOKEN = /\s*(?:([[{}\],:])|(")|([^\s[\]{},:"]+))/y;

/* Behind the string that begins at `start`. */
function stringEnd(source, start) {
        for (let i = start + 1; ; i++) {
                i = source.indexOf("\"", i);
                if (i < 0)
                        return source.length;
                let slashes = 0;
                while (source[i - 1 - slashes] === "\\")
                        slashes++;
                if (slashes % 2 === 0)
                        return i + 1;
        }
}

function memberPath(path, quoted) {
        let name;
        try {
                name = JSON.parse(quoted);
        } catch {
                name = quoted;
        }
        if (/^[A-Za-z0-9_$-]{1,48}$/.test(name))
                return path ? `${path}.${name}` : name;
        return `${path}["${name}"]`;
}

/* Lines {depth, name, value, path, tail}; null when it is no JSON. */
export function layOut(source) {
        const out = [], stack = [];
        let path = "", name = null, position = 0;

        try {
                JSON.parse(source);
        } catch {
                return null;
        }
        const place = () => {
                const top = stack[stack.length - 1];
                if (!top)
                        return "";
                return top.array ? `${top.path}[${top.index}]` : memberPath(top.path, name);
        };
        while (out.length < LINES_MAX) {
                TOKEN.lastIndex = position;
                const match = TOKEN.exec(source);
                if (!match)
                        break;
                position = TOKEN.lastIndex;
                const [, mark, quote, word] = match, top = stack[stack.length - 1];
                let string = null;
                if (quote) {
                        const end = stringEnd(source, position - 1);
                        string = source.slice(position - 1, end);
                        position = end;
                }

                if (mark === "[" || mark === "{") {
                        path = place();
                        out.push({ depth: stack.length, name, value: mark, path, tail: "" });
                        stack.push({ array: mark === "[", index: 0, path, line: out.length - 1 });
                        name = null;
                } else if (mark === "]" || mark === "}") {
                        stack.pop();
                        const last = out[out.length - 1];
                        if (last.value.length === 1 && last.value !== "]" && last.value !== "}" && top.line === out.length - 1)
                                last.value += mark; /* an empty one */
                        else
                                out.push({ depth: stack.length, name: null, value: mark, path: null, tail: "" });
                } else if (mark === ",") {
                        out[out.length - 1].tail = ",";
                        top.index++;
                        name = null;
                } else if (mark === ":")
                        continue;
                else if (string && top && !top.array && name === null)
                        name = string;
                else {
                        out.push({ depth: stack.length, name, value: string || word, path: place(), tail: "" });
                        name = null;
                }
        }
        return { lines: out, whole: source.slice(position).trim() === "" };
}

/* The line of a path, or of the nearest place around it. */
function lineOf(index, path) {
        for (let p = path; p !== ""; ) {
                if (index.has(p))
                        return index.get(p);
                const up = p.replace(/(\.[^.[\]]*|\[\d+\]|\["[\s\S]*"\]|^[^.[]+)$/, "");
                if (up === p)
                        break;
                p = up;
        }
        return 0;
}

function kindOf(value) {
        return value[0] === "\"" ? "string" : /^[-0-9]/.test(value) ? "number" : /^[a-z]/.test(value) ? "word" : "mark";
}

/* What is wrong with the line above it. */
function problemElement(p, indent) {
        const severity = p.severity === "warning" ? "warning" : "error";
        return h("div", { class: `mark-text is-${severity}` }, indent, h("span", { "aria-hidden": "true" }, "\u25b2 "),
                `${severity}: `, h("bdi", {}, clean(cut(String(p.message), STRING_MAX))));
}

function lineElement(line, problems) {
        const indent = " ".repeat(Math.min(line.depth, 40) * 2);
        const value = cut(line.value, STRING_MAX);
        const element = h("div", { class: problems.length ? "line marked" : "line" }, indent,
                line.name !== null && h("bdi", { class: "json-name" }, clean(cut(line.name, 300))),
                line.name !== null && ": ",
                h("bdi", { class: `json-${kindOf(line.value)}` }, clean(value)),
                value.length < line.value.length && h("span", { class: "none" },
                        ` \u2026 of ${line.value.length.toLocaleString()} characters`),
                line.tail);
        element.append(...problems.map((p) => problemElement(p, indent)));
        return element;
}

/* Lines, a step at a time. `make(i)` makes the i-th. At least `least` are there from the start. */
function inSteps(total, make, least, rest) {
        const pre = h("div", { class: "code", tabindex: "0", role: "region", "aria-label": "Text" });
        let shown = 0;
        const more = h("button", { type: "button", on: { click: () => extend(STEP) } });
        const extend = (n) => {
                const fragment = document.createDocumentFragment();
                for (const end = Math.min(total, shown + n); shown < end; shown++)
                        fragment.append(make(shown));
                pre.append(fragment);
                more.textContent = `More: ${count(total - shown, "line")}`;
                more.hidden = shown >= total;
        };
        extend(Math.max(STEP, least));
        return h("div", {}, pre, more, rest);
}

/* A body, with what is wrong with it marked where it is. */
export function jsonText(source, problems = []) {
        const laid = layOut(source);
        if (!laid)
                return rawText(source, problems);

        const index = new Map(), marks = new Map();
        laid.lines.forEach((line, i) => line.path !== null && !index.has(line.path) && index.set(line.path, i));
        for (const p of problems) {
                const i = lineOf(index, String(p.path ?? ""));
                marks.set(i, [...(marks.get(i) || []), p]);
        }
        return inSteps(laid.lines.length, (i) => lineElement(laid.lines[i], marks.get(i) || []),
                Math.max(0, ...marks.keys()) + 1,
                !laid.whole && h("p", { class: "note" }, "The rest is left out here; scalectl delivery --raw has all of it."));
}

/* What is no JSON: marked is the line that the message names, if it names one. */
export function rawText(source, problems = []) {
        const all = source.split("\n", LINES_MAX), marks = new Map();
        for (const p of problems) {
                const [, line] = /line (\d+), column \d+/.exec(String(p.message)) || [];
                const i = Math.min(Math.max(Number(line || 1), 1), all.length) - 1;
                marks.set(i, [...(marks.get(i) || []), p]);
        }
        return inSteps(all.length, (i) => {
                const front = cut(all[i], STRING_MAX), here = marks.get(i) || [];
                return h("div", { class: here.length ? "line marked" : "line" }, h("bdi", {}, clean(front) || " "),
                        front.length < all[i].length && h("span", { class: "none" },
                                ` \u2026 of ${all[i].length.toLocaleString()} characters`),
                        here.map((p) => problemElement(p, "")));
        }, Math.max(0, ...marks.keys()) + 1, false);
}
