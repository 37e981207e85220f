/* One task: what was asked, what came back, every revision beside the others, and what named it. */

import { anyLoaded } from "./attachment.js";
import { badge, brief, count, facts, fold, h, isObject, note, own, put, section, text, time } from "./dom.js";
import { Failure, get, getPage, getText, segment, subscribe } from "./feed.js";
import { jsonText } from "./json.js";
import { deliveryRow } from "./log.js";
import { markdown } from "./markdown.js";
import { result } from "./result.js";

const REVISIONS_MAX = 20, PATHS_MAX = 200;

function factsOf(task) {
        const metadata = isObject(task.metadata) ? Object.entries(task.metadata).slice(0, 100) : [];
        return facts([
                ["Id", h("code", {}, text(task.task_id, 100))],
                ["Created", time(task.created_at)],
                ["Completed", task.completed_at ? time(task.completed_at) : null],
                ["Urgency", task.urgency === undefined ? null : text(task.urgency, 60)],
                ["Key", task.is_test ? "test" : null],
                ["Callback", task.callback_succeeded === undefined ? null : task.callback_succeeded ? "succeeded" : "failed"],
                ["Metadata", metadata.length ? h("ul", { class: "pairs" }, metadata.map(([k, v]) =>
                        h("li", {}, text(k, 80), " = ", text(v, 200)))) : null],
        ]);
}

/* Places that differ, leaf by leaf. */
function differences(a, b, path = "response", out = []) {
        if (out.length >= PATHS_MAX || JSON.stringify(a) === JSON.stringify(b))
                return out;
        const both = (isObject(a) && isObject(b)) || (Array.isArray(a) && Array.isArray(b));
        if (!both)
                out.push(path);
        else
                for (const k of new Set([...Object.keys(a), ...Object.keys(b)]))
                        differences(own(a, k), own(b, k), Array.isArray(a) ? `${path}[${k}]` : `${path}.${brief(k, 40)}`, out);
        return out;
}

function revisionColumn(task, revision, before, shared) {
        const changed = before ? differences(before.response, revision.response) : [];
        return h("article", { class: revision.current ? "revision current" : "revision", "aria-label": `Revision ${revision.revision}` },
                h("h4", {}, `Revision ${revision.revision}`, revision.current && h("span", { class: "test" }, "current")),
                facts([["Completed", time(revision.completed_at)], ["Came", time(revision.received_at)],
                        ["By", h("a", { href: `#/delivery/${Number(revision.delivery)}` }, `${brief(revision.source, 20)} ${Number(revision.delivery)}`)],
                        ["Changed", before ? h("span", {}, changed.length ? h("ul", { class: "pairs changed" },
                                changed.slice(0, 12).map((p) => h("li", {}, h("code", {}, h("bdi", {}, brief(p, 100)))))) : "nothing",
                                changed.length > 12 && `and ${changed.length - 12} more`) : null]]),
                result(task, revision.response, shared));
}

function revisionsOf(task, docs, shared) {
        const all = [...docs].sort((a, b) => a.revision - b.revision).slice(-REVISIONS_MAX);
        return section(count(docs.length, "revision"), h("div", { class: "revisions", tabindex: "0", role: "group",
                "aria-label": "Revisions, the oldest first" },
        all.map((r, i) => revisionColumn(task, r, all[i - 1], shared))));
}

/* A list that may not be there: the daemon answers 404 where nothing is known. */
async function docsOf(path, signal) {
        try {
                return (await getPage(path, { limit: 100 }, signal)).docs;
        } catch (error) {
                if (error instanceof Failure && error.status === 404)
                        return [];
                throw error;
        }
}

/* A task of which all that came was refused is none, but there is something to be said of it. */
async function neverStored(at, error, signal) {
        const docs = error.status === 404 ? await docsOf(`${at}/deliveries`, signal).catch(() => []) : [];
        if (!docs.length)
                return null;
        return h("div", {}, note("No task of this id was ever stored: all that came for it was refused, and is in quarantine."),
                section(count(docs.length, "delivery", "deliveries"),
                        h("ul", { class: "rows" }, docs.map((d) => h("li", { class: "row" }, deliveryRow(d))))));
}

export function task({ args: [id] }) {
        const element = h("div", {}, h("p", {}, "Loading\u2026"));
        const at = `task/${segment(id)}`;
        let abort = new AbortController(), end = null, timer = null;

        const render = (source, revisions, deliveries) => {
                const t = JSON.parse(source);
                const done = t.response !== undefined, shared = {};
                put(element, 
                        h("div", { class: "title" }, h("h2", { tabindex: "-1" }, brief(t.type, 60)), badge(t.status),
                                t.is_test && h("span", { class: "test" }, "test")),
                        t.instruction !== undefined && h("div", { class: "instruction" }, markdown(t.instruction, abort.signal)),
                        section(done ? "Result" : "No result yet", result(t, t.response, shared)),
                        section("About", factsOf(t)),
                        revisions.length > 1 && revisionsOf(t, revisions, shared),
                        section(deliveries.length ? count(deliveries.length, "delivery", "deliveries") : "No deliveries",
                                h("ul", { class: "rows" }, deliveries.map((d) => h("li", { class: "row" }, deliveryRow(d))))),
                        fold("The task as JSON", () => jsonText(source)));
        };
        const load = async () => {
                try {
                        const source = await getText(at, {}, abort.signal);
                        render(source, await docsOf(`${at}/revisions`, abort.signal), await docsOf(`${at}/deliveries`, abort.signal));
                } catch (error) {
                        if (error.name !== "AbortError")
                                put(element, h("h2", { tabindex: "-1" }, "Task ", h("bdi", {}, brief(id, 60))),
                                        await neverStored(at, error, abort.signal) ?? note(error.message, "error"));
                }
        };
        /* What is played or looked at stays until the reader wants the change. */
        const onEvents = (events, gap) => {
                if (!gap && !events.some((e) => e.task_id === id))
                        return;
                if (!anyLoaded(element)) {
                        clearTimeout(timer);
                        timer = setTimeout(load, 200);
                } else if (!element.querySelector(".changed-note"))
                        element.prepend(h("p", { class: "note changed-note", role: "status" }, "This task has changed. ",
                                h("button", { type: "button", on: { click: load } }, "Show it")));
        };
        return { title: `Task ${brief(id, 40)}`, element, start() {
                end = subscribe(onEvents);
                return load();
        }, retry: load, stop() {
                end?.();
                clearTimeout(timer);
                abort.abort();
                abort = new AbortController();
        } };
}
