/* The log of deliveries, and the queue of what is still to be sent. */

import { badge, brief, bytes, count, facts, fold, h, instant, note, own, put, section, text, time } from "./dom.js";
import { Failure, get, getBytes, getText, segment, subscribe } from "./feed.js";
import { jsonText, rawText } from "./json.js";
import { List } from "./list.js";
import { markdown } from "./markdown.js";

const VERDICTS = ["stored", "duplicate", "revised", "invalid", "attachment_failure", "discarded"];
const STATES = ["queued", "sending", "unknown", "accepted", "rejected", "canceled", "expired"];
const QUIET = 1000;

export function problemsOf(doc) {
        return Array.isArray(doc.problems) ? doc.problems : [];
}

export function deliveryRow(d) {
        const problems = problemsOf(d), n = Number(d.delivery);
        return [h("div", { class: "row-main" }, h("a", { class: "open", href: `#/delivery/${n}` }, `Delivery ${n}`),
                problems.length > 0 && h("span", { class: "row-result" }, h("bdi", {}, `${brief(problems[0].path, 60)} ${brief(problems[0].message, 160)}`.trim()),
                        problems.length > 1 && ` and ${problems.length - 1} more`)),
        h("div", { class: "row-side" }, badge(d.verdict), d.type && h("span", { class: "type" }, brief(d.type, 40)),
                time(d.received_at), d.task_id && h("code", {}, h("bdi", {}, brief(d.task_id, 40))))];
}

/* A list with one choice, that looks again when something happens. */
function watched({ title, list, form, keep }) {
        let end = null, timer = null;
        return { title, keep, list, element: h("div", {}, form, list.element),
                start() {
                        end = subscribe((events, gap) => {
                                if ((events.length || gap) && timer === null)
                                        timer = setTimeout(async () => {
                                                await list.refresh();
                                                timer = null;
                                        }, QUIET);
                        });
                        return list.ul.childElementCount ? list.refresh() : list.restart();
                },
                retry: () => list.refresh(),
                stop() {
                        end?.();
                        clearTimeout(timer);
                        timer = null;
                        list.stop();
                } };
}

/* Filters of deliveries and submissions. `choices` are [label, name, words]. */
export function filtersOf(query, base, choices) {
        const change = () => {
                const q = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
                location.hash = q.size ? `${base}?${q}` : base;
        };
        const input = (label, name, type, more) => h("label", {}, h("span", {}, label),
                h("input", { name, type, value: query.get(name) || "", autocomplete: "off", ...more, on: { change } }));
        const form = h("form", { class: "filters", "aria-label": "Filters", on: { submit: (e) => {
                e.preventDefault();
                change();
        } } }, choices.map(([label, name, words]) => h("label", {}, h("span", {}, label), h("select", { name, on: { change } },
                ["", ...words].map((w) => h("option", { value: w, selected: w === (query.get(name) || "") }, w.replaceAll("_", " ") || "any"))))),
        input("Since", "since", "date"), input("until", "until", "date"),
        input("Reason, type or id", "text", "search", { placeholder: "has these words", maxlength: "500" }));
        return form;
}

/* Whether an entry is one of those that the filters choose. */
export function fitsOf(query, timeName = "received_at") {
        const since = instant(query.get("since"), 0), until = instant(query.get("until"), 1);
        const words = (query.get("text") || "").trim().toLowerCase();
        return (doc) => (!since || new Date(doc[timeName]) >= new Date(since)) && (!until || new Date(doc[timeName]) < new Date(until)) &&
                (!words || [doc.type, doc.task_id, doc.submission_id, doc.instruction, doc.error, doc.ref,
                        ...problemsOf(doc).flatMap((p) => [p.path, p.message])].join("\n").toLowerCase().includes(words));
}

const isFiltered = (query) => ["since", "until", "text"].some((name) => query.get(name));

export function deliveries({ query }) {
        return watched({ title: "Deliveries", keep: true, form: filtersOf(query, "#/deliveries", [["Verdict", "verdict", VERDICTS]]),
                list: new List({ path: "deliveries", params: { verdict: query.get("verdict"), order: "newest" }, key: (d) => d.delivery,
                        fits: isFiltered(query) ? fitsOf(query) : null, before: reaches(query, "received_at"),
                        href: (n) => `#/delivery/${n}`, row: deliveryRow, one: "delivery", many: "deliveries",
                        label: "Deliveries, newest first", empty: "No deliveries that fit." }) });
}

/* Whether there is nothing left that fits behind this one: they come in the order of their times, nearly. */
function reaches(query, timeName) {
        const since = instant(query.get("since"), 0);
        return since ? (doc) => new Date(doc[timeName]) < new Date(new Date(since).getTime() - 86400000) : null;
}

function problemList(problems) {
        return h("ol", { class: "problems" }, problems.map((p) => h("li", { class: p.severity === "warning" ? "is-warning" : "is-error" },
                h("strong", {}, p.severity === "warning" ? "warning" : "error"), " ",
                h("code", {}, h("bdi", {}, brief(p.path || "the body", 256))), " ", text(p.message, 600))));
}

/* Bytes as text; what is no UTF-8 is said to be so. */
function bodyElement(data, problems) {
        let source, clean = true;
        try {
                source = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
        } catch {
                source = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data);
                clean = false;
        }
        return h("div", {}, !clean && note("Some bytes are no UTF-8; they are shown as \ufffd."),
                clean ? jsonText(source, problems) : rawText(source, problems));
}

async function isStored(id, signal) {
        try {
                await get(`task/${segment(id)}`, {}, signal);
                return true;
        } catch (error) {
                if (error instanceof Failure && error.status === 404)
                        return false;
                throw error;
        }
}

export function delivery({ args: [n] }) {
        const element = h("div", {}, h("p", {}, "Loading\u2026"));
        const abort = new AbortController();

        const load = async () => {
                try {
                        const d = await get(`delivery/${segment(n)}`, {}, abort.signal), problems = problemsOf(d);
                        const stored = !d.task_id || d.verdict !== "invalid" || await isStored(d.task_id, abort.signal);
                        put(element, 
                                h("div", { class: "title" }, h("h2", { tabindex: "-1" }, `Delivery ${Number(d.delivery)}`), badge(d.verdict)),
                                problems.length > 0 && section(count(problems.length, "problem"), problemList(problems)),
                                section("About", facts([
                                        ["Received", time(d.received_at)],
                                        ["Task", d.task_id ? [h("a", { href: `#/task/${segment(d.task_id)}` }, h("bdi", {}, brief(d.task_id, 80))),
                                                !stored && " (was never stored)"] : null],
                                        ["Type", d.type ? text(d.type, 60) : null],
                                        ["Source", text(d.source, 40)], ["Status answered", d.status_code ? String(Number(d.status_code)) : null],
                                        ["Key", d.key ? text(d.key, 60) : null], ["From", d.remote ? text(d.remote, 100) : null],
                                        ["Submission", d.ref ? h("a", { href: `#/submission/${segment(d.ref)}` }, h("bdi", {}, brief(d.ref, 80))) : null],
                                        ["Revision", d.revision ? String(Number(d.revision)) : null],
                                        ["Repeated", d.repeats ? `${Number(d.repeats)} times` : null],
                                        ["Came in by", d.superseded_by ? h("a", { href: `#/delivery/${Number(d.superseded_by)}` }, `delivery ${Number(d.superseded_by)}`) : null],
                                        ["Size", bytes(d.size)], ["Unchecked", d.unchecked ? "yes: this type is not known" : null]])));
                        const body = await getBytes(`delivery/${segment(n)}/body`, {}, abort.signal);
                        element.append(section("The body as it came", bodyElement(body, problems)));
                } catch (error) {
                        if (error.name === "AbortError")
                                return;
                        if (!element.querySelector("h2"))
                                put(element, h("h2", { tabindex: "-1" }, `Delivery ${brief(n, 20)}`));
                        element.append(note(error.message, "error"));
                }
        };
        return { title: `Delivery ${brief(n, 20)}`, element, start: load, retry: load, stop: () => abort.abort() };
}

/* The queue. */

function submissionRow(s) {
        return [h("div", { class: "row-main" },
                h("a", { class: "open", href: `#/submission/${segment(s.submission_id)}` }, h("bdi", {}, brief(s.instruction || s.submission_id, 160))),
                s.error && h("span", { class: "row-result" }, h("bdi", {}, brief(s.error, 160)))),
        h("div", { class: "row-side" }, badge(s.state), h("span", { class: "type" }, brief(s.type, 40)),
                s.is_test && h("span", { class: "test" }, "test"), time(s.created_at),
                Number(s.attempts) > 0 && h("span", {}, count(Number(s.attempts), "attempt")),
                s.instruction && h("code", {}, h("bdi", {}, brief(s.submission_id, 40))))];
}

function held(outbox) {
        const states = Object.entries(outbox.by_state || {}).filter(([, n]) => n > 0);
        return h("div", {}, outbox.hold && outbox.hold !== "running" && note(h("span", {}, `The queue is held (${brief(outbox.hold, 20)}): `,
                text(outbox.reason || "no reason was given", 300)), "error"),
        h("p", { class: "counts" }, states.map(([state, n]) => h("span", {}, badge(state), ` ${Number(n).toLocaleString()}`))));
}

export function queue({ query }) {
        const top = h("div", {}), abort = new AbortController();
        const view = watched({ title: "Queue", keep: true, form: h("div", {}, top, filtersOf(query, "#/queue", [["State", "state", STATES]])),
                list: new List({ path: "submissions", params: { state: query.get("state"), order: "newest" }, key: (s) => s.submission_id,
                        fits: isFiltered(query) ? fitsOf(query, "created_at") : null, before: reaches(query, "created_at"),
                        href: (id) => `#/submission/${segment(id)}`, row: submissionRow, one: "submission", label: "Submissions, newest first",
                        empty: query.size ? "Nothing that fits." : "Nothing was given to the submitter." }) });
        const start = view.start, stop = view.stop;
        let end = null;
        const figures = () => get("stats", {}, abort.signal).then((s) => top.replaceChildren(held(s.outbox || {})), () => null);
        view.start = () => {
                end = subscribe(figures);
                figures();
                return start();
        };
        view.stop = () => {
                end?.();
                stop();
        };
        return view;
}

export function submission({ args: [id] }) {
        const element = h("div", {}, h("p", {}, "Loading\u2026"));
        const abort = new AbortController();
        let end = null;

        const load = async () => {
                try {
                        const source = await getText(`submission/${segment(id)}`, {}, abort.signal), s = JSON.parse(source);
                        put(element, 
                                h("div", { class: "title" }, h("h2", { tabindex: "-1" }, "Submission"), badge(s.state), s.is_test && h("span", { class: "test" }, "test")),
                                problemsOf(s).length > 0 && section(count(s.problems.length, "problem"), problemList(s.problems)),
                                section("About", facts([
                                        ["Id", h("code", {}, text(s.submission_id, 100))], ["Type", text(s.type, 60)],
                                        ["Task", s.task_id ? h("a", { href: `#/task/${segment(s.task_id)}` }, h("bdi", {}, brief(s.task_id, 80))) : null],
                                        ["Taken in", time(s.created_at)], ["Changed", time(s.changed_at)],
                                        ["Attempts", String(Number(s.attempts))],
                                        ["Next attempt", s.next_attempt_at ? time(s.next_attempt_at) : null],
                                        ["Given up", s.expires_at ? time(s.expires_at) : null],
                                        ["Cancel", s.cancel_requested ? "asked for" : null],
                                        ["Idempotency key", s.idempotency_key ? text(s.idempotency_key, 200) : null],
                                        ["Status answered", s.status_code ? String(Number(s.status_code)) : null],
                                        ["Error", s.error ? text(s.error) : null],
                                        ["Answer", s.answer !== undefined ? text(s.answer, 2000) : null]])),
                                typeof own(s.params, "instruction") === "string" &&
                                        section("Instruction", h("div", { class: "instruction" }, markdown(s.params.instruction, abort.signal))),
                                section("Parameters", jsonText(JSON.stringify(s.params ?? null))),
                                fold("The submission as JSON", () => jsonText(source)));
                } catch (error) {
                        if (error.name !== "AbortError")
                                put(element, h("h2", { tabindex: "-1" }, "Submission ", h("bdi", {}, brief(id, 60))), note(error.message, "error"));
                }
        };
        return { title: `Submission ${brief(id, 40)}`, element, start() {
                end = subscribe((events, gap) => (gap || events.some((e) => e.submission === id)) && load());
                return load();
        }, retry: load, stop() {
                end?.();
                abort.abort();
        } };
}
