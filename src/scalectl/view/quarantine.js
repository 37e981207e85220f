/*
 * The quarantine, grouped by problem: what is wrong in the same place for the same reason is one row that opens.
 * Numbers and quoted words differ from one to the next and are left out of the comparison. The newest are
 * looked through, as far as there is use in it; how many there are in all is said.
 */

import { brief, count, fold, h, note, put, time } from "./dom.js";
import { get, getPage, subscribe } from "./feed.js";
import { deliveryRow, filtersOf, fitsOf, problemsOf } from "./log.js";

const LOOKED_MAX = 2000, STEP = 100, ROWS = 50, QUIET = 1000;

/* A problem without what is particular to one body. */
function kindOf(doc) {
        const [problem] = problemsOf(doc);
        if (!problem)
                return "no problem was named";
        const path = String(problem.path ?? "").replace(/\[\d+\]/g, "[\u2026]");
        const message = String(problem.message ?? "").replace(/"[^"]*"/g, "\u201c\u2026\u201d").replace(/-?\d+(\.\d+)?/g, "\u2026");
        return `${path || "the body"}: ${message}`;
}

function groupsOf(docs) {
        const groups = new Map();
        for (const doc of docs) {
                const kind = kindOf(doc);
                groups.set(kind, [...(groups.get(kind) || []), doc]);
        }
        return groups;
}

const row = (doc) => h("li", { class: "row", "data-key": String(doc.delivery) }, deliveryRow(doc));

/* The deliveries of one kind, some at a time. */
function rows(docs) {
        const ul = h("ul", { class: "rows" }, docs.slice(0, ROWS).map(row));
        let shown = ROWS;
        const more = h("button", { type: "button", class: "more", hidden: docs.length <= ROWS, on: { click: () => {
                ul.append(...docs.slice(shown, shown + ROWS).map(row));
                shown += ROWS;
                more.hidden = shown >= docs.length;
        } } }, "More");
        return h("div", {}, ul, more);
}

function groupElement(kind, docs, open) {
        const element = docs.length === 1 ? h("div", { class: "group" }, rows(docs))
                : fold(h("span", {}, h("strong", {}, `${docs.length.toLocaleString()} \u00d7 `), h("bdi", {}, brief(kind, 300)),
                        h("span", { class: "row-result" }, " the last ", time(docs[0].received_at))), () => rows(docs));
        element.classList.add("group");
        element.dataset.kind = kind;
        if (open && docs.length > 1) {
                element.open = true;
                element.append(rows(docs));
        }
        return element;
}

export function quarantine({ query }) {
        const form = filtersOf(query, "#/quarantine", []), fits = fitsOf(query);
        const total = h("p", { class: "total" }), groups = h("div", { class: "groups" }), message = h("div", {});
        const element = h("div", {}, h("p", { class: "note" }, "What came with a valid key and was not valid itself, newest first. ",
                h("code", {}, "scalectl quarantine"), " has the means to try or discard it."), form, h("div", { class: "list" }, total, groups, message));
        let docs = [], whole = false, all = null, abort = new AbortController(), end = null, timer = null;

        const fitting = () => docs.filter(fits);
        const draw = () => {
                const open = new Set([...groups.querySelectorAll("details[open]")].map((d) => d.dataset.kind));
                const some = groupsOf(fitting()), n = fitting().length;
                const focus = groups.querySelector(".row:focus-within")?.dataset.key;
                put(groups, [...some].map(([kind, of]) => groupElement(kind, of, open.has(kind))));
                [...groups.querySelectorAll(".row")].find((r) => r.dataset.key === focus)?.querySelector("a").focus({ preventScroll: true });
                total.textContent = `${count(n, "delivery", "deliveries")} of ${count(some.size, "kind")}` +
                        (whole ? "" : `, among the newest ${docs.length.toLocaleString()} of ${all === null ? "more" : all.toLocaleString()}`);
                put(message, n ? [] : h("p", { class: "empty" }, docs.length ? "Nothing that fits." : "Nothing is in quarantine."));
        };
        const load = async () => {
                try {
                        const found = [];
                        let after;
                        all = Number((await get("stats", {}, abort.signal)).by_verdict?.invalid ?? 0);
                        do {
                                const page = await getPage("deliveries", { verdict: "invalid", order: "newest", limit: STEP, after }, abort.signal);
                                found.push(...page.docs);
                                after = page.has_more ? page.next : null;
                                total.textContent = `Looked through ${found.length.toLocaleString()}`;
                        } while (after !== null && found.length < LOOKED_MAX);
                        docs = found;
                        whole = after === null;
                        draw();
                } catch (error) {
                        if (error.name !== "AbortError")
                                put(message, note(error.message, "error"));
                }
        };
        /* What came since, and what was taken out, are few beside what is there. */
        const onEvents = (events, gap) => {
                if (timer === null && (gap || events.some((e) => e.kind === "delivery.invalid" || e.delivery)))
                        timer = setTimeout(async () => {
                                await load();
                                timer = null;
                        }, QUIET);
        };
        const keys = () => [...groupsOf(fitting()).values()].flat().map((doc) => String(doc.delivery));
        return { title: "Quarantine", keep: true, element,
                list: { keys, next: null, get count() {
                        return fitting().length;
                }, o: { href: (n) => `#/delivery/${n}`, label: "The quarantine" } },
                start() {
                        end = subscribe(onEvents);
                        return load();
                },
                retry: load,
                stop() {
                        end?.();
                        clearTimeout(timer);
                        timer = null;
                        abort.abort();
                        abort = new AbortController();
                } };
}
