/*
 * Results as what they are. One function a type; a response that does not look as its type says is shown as
 * the JSON that it is, and so is every type that is not known here.
 */

import { image } from "./attachment.js";
import { annotation } from "./boxes.js";
import { brief, count, finite, h, isObject, link, list, note, own, svg, text, webUrl } from "./dom.js";
import { jsonText } from "./json.js";
import { clock, Player } from "./player.js";

const WORDS_MAX = 20000, ROW_SECONDS = 10;

/* An attachment of any type, beside a result. */
function attachment(type, value) {
        if (type === "image") {
                const holder = h("div", { class: "picture" });
                return h("div", { class: "attachment" }, holder, image(value, holder), h("p", { class: "where" }, link(value)));
        }
        if (type === "audio")
                return h("div", { class: "attachment" }, new Player(value).element, h("p", { class: "where" }, link(value)));
        if (webUrl(value))
                return h("div", { class: "attachment" }, h("p", { class: "where" }, link(value)));
        return h("blockquote", { class: "attachment" }, text(value, 3000));
}

function attachmentsOf(task) {
        const params = own(task, "params"), type = own(params, "attachment_type");
        const all = [...list(own(params, "attachment")), ...list(own(params, "attachments"))];
        return all.slice(0, 50).map((value) => attachment(type, value));
}

/* What could be chosen, and what was. */
function choices(label, offered, chosen, ids) {
        const known = offered.map((c) => JSON.stringify(c));
        const strange = chosen.filter((c) => !known.includes(JSON.stringify(c)));
        const item = (value, is, odd) => h("li", { class: is ? "chosen" : "" },
                h("span", { class: "tick", "aria-hidden": "true" }, is ? "\u2713" : ""), text(value, 200),
                is && h("span", { class: "unseen" }, " (chosen)"), odd && h("em", {}, " was not offered"));
        return h("div", {}, h("ul", { class: "choices", "aria-label": label },
                offered.slice(0, 500).map((c) => item(c, chosen.some((x) => JSON.stringify(x) === JSON.stringify(c)))),
                strange.slice(0, 500).map((c) => item(c, true, true))),
                ids !== undefined && h("p", {}, "Id: ", text(ids)));
}

function beside(attachments, result) {
        return h("div", { class: attachments.length ? "beside" : "" },
                attachments.length > 0 && h("div", { class: attachments.length > 1 ? "several" : "" }, attachments),
                h("div", {}, result));
}

function categorization(task, response) {
        return beside(attachmentsOf(task), choices("Categories", list(own(own(task, "params"), "categories")),
                list(own(response, "category")), own(response, "category_id")));
}

function fields(task, response) {
        const described = own(own(task, "params"), "fields"), given = own(response, "fields");
        const names = [...new Set([...Object.keys(isObject(described) ? described : {}),
                ...Object.keys(isObject(given) ? given : {})])].slice(0, 500);
        const value = (v) => (list(v).length === 1 && typeof list(v)[0] === "string" ? link(list(v)[0])
                : Array.isArray(v) ? h("ul", {}, v.slice(0, 500).map((x) => h("li", {}, link(x)))) : text(v));
        return h("table", { class: "fields" },
                h("thead", {}, h("tr", {}, ["Field", "Asked for", "Answer"].map((t) => h("th", { scope: "col" }, t)))),
                h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, text(name, 80)),
                        h("td", {}, own(described, name) === undefined ? h("em", {}, "not asked for")
                                : text(own(described, name), 300)),
                        h("td", {}, own(given, name) === undefined ? h("em", {}, "missing") : value(own(given, name)))))));
}

function collection(task, response) {
        return beside(attachmentsOf(task), fields(task, response));
}

function comparison(task, response) {
        const offered = list(own(own(task, "params"), "choices")), chosen = list(own(response, "choice"));
        return h("div", {}, h("div", { class: "several" }, attachmentsOf(task)),
                (offered.length > 0 || chosen.length > 0) && choices("Choices", offered, chosen),
                isObject(own(response, "fields")) && fields(task, response));
}

/* A transcript: words as they are spoken, ten seconds a row, and where in it one is. */

function wordsOf(response) {
        return list(own(response, "alignment")).map((w) => ({ word: own(w, "word"), start: finite(own(w, "start")),
                end: finite(own(w, "end")), confidence: finite(own(w, "confidence")) }))
                .filter((w) => w.start !== null && w.end !== null && w.start >= 0 && w.end >= w.start && w.end < 1e6)
                .slice(0, WORDS_MAX);
}

function wordRow(words, from, seek) {
        const bars = svg("svg", { class: "bars", viewBox: `0 0 ${ROW_SECONDS} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
        const spoken = h("p", { class: "spoken" });
        for (const w of words) {
                const unsure = w.confidence !== null && w.confidence < 0.5;
                w.bar = svg("rect", { class: unsure ? "unsure" : "sure", x: w.start - from, y: 0, height: 1,
                        width: Math.max(w.end - w.start - 0.02, 0.03) });
                w.span = h("span", { class: unsure ? "word unsure" : "word",
                        title: `${w.start} to ${w.end} s${w.confidence === null ? "" : `, confidence ${w.confidence}`}`,
                        on: { click: () => seek(w.start) } }, brief(w.word, 100));
                bars.append(w.bar);
                spoken.append(w.span, " ");
        }
        return h("div", { class: "stretch" }, h("span", { class: "clock" }, clock(from)), h("div", {}, spoken, bars));
}

function timeline(words, seek) {
        const rows = new Map();
        for (const w of words) {
                const from = Math.floor(w.start / ROW_SECONDS) * ROW_SECONDS;
                rows.set(from, [...(rows.get(from) || []), w]);
        }
        return h("div", { class: "timeline" }, [...rows].sort((a, b) => a[0] - b[0]).map(([from, some]) => wordRow(some, from, seek)));
}

/* The word that is spoken at t: the last one that has begun, while it lasts. */
function wordAt(words, t) {
        let low = 0, high = words.length;
        while (low < high) {
                const middle = (low + high) >> 1;
                if (words[middle].start <= t)
                        low = middle + 1;
                else
                        high = middle;
        }
        const w = words[low - 1];
        return w && t <= Math.max(w.end, w.start + 0.05) ? w : null;
}

/* `shared` has the player of an earlier one, whose recording is the same. */
function transcription(task, response, shared) {
        const words = wordsOf(response).sort((a, b) => a.start - b.start), attachment = own(own(task, "params"), "attachment");
        const last = words.reduce((n, w) => Math.max(n, w.end), 0);
        const first = !shared.player, player = shared.player ??= new Player(attachment);
        let lit = null;

        player.extend(Math.min(Math.max(finite(own(response, "duration")) ?? 0, last), 1e6));
        player.onTime((t) => {
                const w = wordAt(words, t);
                if (first && w)
                        player.slider.setAttribute("aria-valuetext", `${clock(t)}, ${brief(w.word, 60)}`);
                if (w === lit)
                        return;
                for (const [one, on] of [[lit, false], [w, true]])
                        one?.span.classList.toggle("now", on), one?.bar.classList.toggle("now", on);
                lit = w;
                if (w && player.isPlaying())
                        w.span.scrollIntoView({ block: "nearest" });
        });
        return h("div", {}, first && [player.element, h("p", { class: "where" }, link(attachment))],
                words.length > 0 && timeline(words, (t) => player.seek(t)),
                words.some((w) => w.confidence !== null && w.confidence < 0.5) && h("p", { class: "note" },
                        "Underlined with dots: words of low confidence."),
                h("h4", {}, "Transcript"), h("p", { class: "transcript" }, text(own(response, "transcript"), 5000)));
}

const renderers = { annotation, categorization, comparison, datacollection: collection, transcription: collection,
        audiotranscription: transcription };

function known(type) {
        return Object.keys(renderers).includes(type);
}

/* What came back for a task, or, without a response, what was asked. `shared` is an object that all results on
 * one page have in common. */
export function result(task, response, shared = {}) {
        const error = own(response, "error");
        const parts = [];

        if (error !== undefined)
                parts.push(h("p", { class: "error" }, "The answer is an error: ", text(error)));
        if (isObject(response) && known(own(task, "type")) && (error === undefined || own(response, "transcript") !== undefined))
                try {
                        return h("div", { class: "result" }, parts, own(renderers, task.type)(task, response, shared));
                } catch (failure) {
                        console.error(failure);
                        parts.push(note("This is not shaped as results of this type are."));
                }
        if (response !== undefined && (error === undefined || Object.keys(response).length > 1))
                parts.push(jsonText(JSON.stringify(response)));
        else
                parts.push(attachmentsOf(task));
        return h("div", { class: "result" }, parts);
}

/* In a few words, for lists. */
export function summary(task) {
        const response = own(task, "response"), transcript = own(response, "transcript");
        if (!isObject(response))
                return "";
        if (own(response, "error") !== undefined)
                return `error: ${brief(own(response, "error"), 100)}`;
        if (Array.isArray(own(response, "annotations")))
                return count(response.annotations.length, "box", "boxes");
        if (transcript !== undefined)
                return `\u201c${brief(transcript, 100)}\u201d`;
        const chosen = own(response, "category") ?? own(response, "choice");
        const named = isObject(own(response, "fields")) ? Object.entries(response.fields).slice(0, 4).map(([k, v]) =>
                `${brief(k, 30)}: ${brief(v, 40)}`) : [];
        return [...list(chosen).slice(0, 8).map((c) => brief(c, 60)), ...named].join(", ") || brief(response, 80);
}
