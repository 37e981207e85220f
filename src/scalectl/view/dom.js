/*
 * Making elements. Everything that is shown goes through here, and nothing here reads markup: texts become
 * text nodes, attributes come from a list of harmless names, and addresses are either within this page or
 * pass link(), which takes http and https alone.
 *
 * Texts of others are shown as what they are: characters that hide or turn round what stands beside them are
 * written out, each text is a direction of its own, and of a long one only the front is shown until the
 * reader asks for more.
 */

const ATTRIBUTES = /^(class|id|role|title|for|type|name|value|min|max|step|tabindex|lang|list|placeholder|colspan|scope|width|height|viewBox|preserveAspectRatio|x|y|x1|x2|y1|y2|rx|fill|points|maxlength|autocomplete|datetime|aria-[a-z]+|data-[a-z]+)$/;
const SVG = "http://www.w3.org/2000/svg";
const TEXT_MAX = 600; /* characters, before one asks for more */
const HIDDEN = /(?![\n\t\u200c\u200d\u0600-\u0605\u06dd])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

function fill(element, props, children) {
        for (const [name, value] of Object.entries(props || {})) {
                if (value === null || value === undefined || value === false)
                        continue;
                if (name === "on")
                        for (const [event, handler] of Object.entries(value))
                                element.addEventListener(event, handler);
                else if (name === "href" && String(value).startsWith("#/"))
                        element.setAttribute("href", value);
                else if (["disabled", "checked", "selected", "hidden", "open"].includes(name))
                        element[name] = Boolean(value);
                else if (ATTRIBUTES.test(name))
                        element.setAttribute(name, value);
                else
                        throw new Error(`no attribute for this page: ${name}`);
        }
        element.append(...present(children));
        return element;
}

/* What is left out of a list of children: parts that there was no cause for. */
function present(children) {
        return children.flat(9).filter((c) => c !== null && c !== undefined && c !== false);
}

/* Puts these in the place of what an element holds. */
export function put(element, ...children) {
        element.replaceChildren(...present(children));
}

/* An element; children are nodes, or texts of our own. */
export function h(tag, props, ...children) {
        return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
        return fill(document.createElementNS(SVG, tag), props, children);
}

/* Own members alone, whatever they are called. */
export function own(object, name) {
        return object !== null && typeof object === "object" && Object.hasOwn(object, name)
                ? object[name] : undefined;
}

export function isObject(value) {
        return value !== null && typeof value === "object" && !Array.isArray(value);
}

/* What may be one or several, as a list. */
export function list(value) {
        return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
}

export function finite(value) {
        return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/* What hides is written out. */
export function clean(value) {
        return value.replaceAll("\r\n", "\n").replace(HIDDEN, (c) =>
                `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}

/* The front of a text, never half a character. */
export function cut(value, size) {
        if (value.length <= size)
                return value;
        const last = value.charCodeAt(size - 1);
        return value.slice(0, last >= 0xd800 && last <= 0xdbff ? size - 1 : size);
}

function plain(value) {
        if (typeof value === "string")
                return value;
        return value === null || value === undefined ? "" : JSON.stringify(value);
}

/* A text of others, on one line or in one attribute. */
export function brief(value, size = 120) {
        const s = plain(value), front = cut(s, size);
        return clean(front).replace(/[\n\t]+/g, " ") + (front.length < s.length ? "\u2026" : "");
}

/* A text of others as an element. */
export function text(value, size = TEXT_MAX) {
        const s = plain(value);
        const element = h("bdi", { class: "text" }, clean(cut(s, size)));

        if (value === null || value === undefined)
                return h("span", { class: "none" }, "none");
        if (s.length <= size)
                return s === "" ? h("span", { class: "none" }, "empty") : element;

        let shown = size;
        const more = h("button", { type: "button", class: "more-text", on: { click: () => {
                shown = Math.max(20000, shown * 5);
                element.replaceChildren(clean(cut(s, shown)));
                if (shown >= s.length)
                        more.remove();
        } } }, `\u2026 more of ${s.length.toLocaleString()} characters`);
        return h("span", {}, element, " ", more);
}

/* The URL when it is one that may be followed or loaded, else null. */
export function webUrl(value) {
        if (typeof value !== "string" || value.length > 8192)
                return null;
        try {
                const url = new URL(value);
                return url.protocol === "http:" || url.protocol === "https:" ? url : null;
        } catch {
                return null;
        }
}

/* A link to elsewhere, or, where that is none, the text. */
export function link(value) {
        const url = webUrl(value);
        if (!url)
                return text(value);
        const a = h("a", { class: "outside" }, text(value, 200));
        a.href = url.href;
        a.target = "_blank";
        a.rel = "noopener noreferrer";
        a.referrerPolicy = "no-referrer";
        return a;
}

/* Times have one form, in the reader's zone: 2016-06-23 09:09:34; `from` and `size` cut a piece out of it. */
export function stamp(t, from = 0, size = 19) {
        const two = (n) => String(n).padStart(2, "0");
        return (`${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ` +
                `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`).slice(from, from + size);
}

/* A date of the reader's zone as the daemon takes it: the midnight that it begins with, or that ends it. */
export function instant(date, days) {
        const t = /^\d{4}-\d\d-\d\d$/.test(date || "") ? new Date(`${date}T00:00:00`) : null;
        if (!t || Number.isNaN(t.getTime()))
                return "";
        t.setDate(t.getDate() + days);
        return t.toISOString();
}

export function time(value) {
        const t = typeof value === "string" ? new Date(value) : null;
        if (!t || Number.isNaN(t.getTime()))
                return h("span", { class: "none" }, value ? brief(value, 40) : "never");
        return h("time", { datetime: t.toISOString(), title: t.toISOString() }, stamp(t));
}

export function bytes(n) {
        const units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let i = 0;
        for (n = Number(n) || 0; n >= 1024 && i < units.length - 1; i++)
                n /= 1024;
        return `${i ? n.toFixed(1) : n} ${units[i]}`;
}

export function count(n, one, many = `${one}s`) {
        return `${Number(n).toLocaleString()} ${n === 1 ? one : many}`;
}

/* Words that are one of a few, with a colour and a sign of their own. */
const SIGNS = { completed: "\u2713", accepted: "\u2713", stored: "\u2713", pending: "\u2026", queued: "\u2026",
        sending: "\u2192", unknown: "?", canceled: "\u2212", expired: "\u2212", discarded: "\u2212", invalid: "!",
        rejected: "!", revised: "\u0394", duplicate: "=", attachment_failure: "!" };

export function badge(word) {
        const known = Object.hasOwn(SIGNS, word) ? word : "other";
        return h("span", { class: `badge is-${known}` },
                h("span", { "aria-hidden": "true" }, Object.hasOwn(SIGNS, word) ? SIGNS[word] : "\u00b7"), " ",
                brief(word, 40).replaceAll("_", " "));
}

/* Names and values. `rows` are [own text or node, node]; those without a value are left out. */
export function facts(rows) {
        return h("dl", { class: "facts" }, rows.filter((r) => r && r[1] !== null && r[1] !== undefined).map(([name, value]) =>
                h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function section(title, ...children) {
        return h("section", { "aria-label": title }, h("h3", {}, title), children);
}

export function note(message, kind = "note") {
        return h("p", { class: kind, role: kind === "error" ? "alert" : null }, message);
}

/* A part that is made when it is opened. */
export function fold(title, make) {
        const details = h("details", { on: { toggle: () => {
                if (details.open && details.childNodes.length === 1)
                        details.append(make());
        } } }, h("summary", {}, title));
        return details;
}
