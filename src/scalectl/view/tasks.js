/* The tasks: filters, newest first, live as they come in. */

import { badge, brief, count, fold, h, instant, own, time } from "./dom.js";
import { exporter } from "./export.js";
import { get, segment, subscribe } from "./feed.js";
import { List } from "./list.js";
import { summary } from "./result.js";
import { types } from "./types.js";

const STATUSES = ["pending", "completed", "canceled"];
const QUIET = 1000;      /* ms between two looks at the newest rows, however much comes in */
const ROWS_ASKED = 20;   /* rows farther down that are looked at again in one go */

function row(task) {
        const said = summary(task);
        const about = own(task, "instruction") || own(own(task, "params"), "attachment") || task.task_id;
        return [h("div", { class: "row-main" },
                        h("a", { class: "open", href: `#/task/${segment(task.task_id)}` }, h("bdi", {}, brief(about, 160))),
                        said && h("span", { class: "row-result" }, h("bdi", {}, said))),
                h("div", { class: "row-side" }, badge(task.status), h("span", { class: "type" }, brief(task.type, 40)),
                        task.is_test && h("span", { class: "test" }, "test"), time(task.created_at),
                        h("code", {}, h("bdi", {}, brief(task.task_id, 40))))];
}

function paramsOf(query) {
        const params = { status: query.get("status"), type: query.get("type"), is_test: query.get("test"),
                start_time: instant(query.get("since"), 0), end_time: instant(query.get("until"), 1) };
        const [, key, value] = /^([^=]+)=([\s\S]*)$/.exec(query.get("metadata") || "") || [];
        if (key)
                params[`metadata.${key}`] = value;
        return params;
}

/* Everything that was asked in words, and everything that was answered, as one text. */
function wordsOf(task) {
        const texts = [], rest = [own(task, "instruction"), own(task, "response"), own(task, "metadata")];
        while (rest.length) {
                const value = rest.pop();
                if (typeof value === "string" || typeof value === "number")
                        texts.push(String(value));
                else if (value !== null && typeof value === "object")
                        rest.push(...Object.values(value));
        }
        return texts.join("\n").toLowerCase();
}

function choice(label, name, options, query, change) {
        return h("label", {}, h("span", {}, label), h("select", { name, on: { change } },
                options.map(([value, word]) => h("option", { value, selected: value === (query.get(name) || "") }, word))));
}

function filters(query, change) {
        const input = (label, name, type, more) => h("label", {}, h("span", {}, label),
                h("input", { name, type, value: query.get(name) || "", autocomplete: "off", ...more, on: { change } }));
        const known = query.get("type") && !types.includes(query.get("type")) ? [query.get("type"), ...types] : types;
        return h("form", { class: "filters", "aria-label": "Filters", on: { submit: (e) => {
                e.preventDefault();
                change();
        } } },
        choice("Status", "status", [["", "any"], ...STATUSES.map((s) => [s, s])], query, change),
        choice("Type", "type", [["", "any"], ...known.map((t) => [t, brief(t, 60)])], query, change),
        choice("Keys", "test", [["", "any"], ["false", "live"], ["true", "test"]], query, change),
        input("Created since", "since", "date"), input("until", "until", "date"),
        input("Metadata", "metadata", "text", { placeholder: "key=value", maxlength: "500" }),
        input("Instruction or answer", "text", "search", { placeholder: "has these words", maxlength: "500" }));
}

/* Types that this page has never heard of can be filtered by, too. */
async function addTypes(form, signal) {
        const select = form.querySelector("select[name=type]"), have = new Set([...select.options].map((o) => o.value));
        const stats = await get("stats", {}, signal);
        for (const type of Object.keys(stats.by_type || {}).slice(0, 200))
                if (!have.has(type))
                        select.append(h("option", { value: type }, brief(type, 60)));
}

export function tasks({ query }, announce) {
        const abort = new AbortController();
        const change = () => {
                const q = new URLSearchParams();
                for (const [name, value] of new FormData(form))
                        if (value)
                                q.set(name, value);
                location.hash = q.size ? `#/tasks?${q}` : "#/tasks";
        };
        const form = filters(query, change);
        const text = (query.get("text") || "").trim().toLowerCase();
        const list = new List({ fits: text ? (task) => wordsOf(task).includes(text) : null, path: "tasks", params: paramsOf(query), key: (t) => t.task_id,
                href: (id) => `#/task/${segment(id)}`, row, one: "task",
                label: "Tasks, newest first", empty: "No tasks that fit. New ones show up here by themselves." });
        let end = null, timer = null, came = 0, touched = new Set();

        /* Rows beyond the newest page that something happened to. */
        const again = async (ids) => {
                for (const id of ids) {
                        const li = [...list.ul.children].find((x) => x.dataset.key === id);
                        if (!li)
                                continue;
                        const task = await get(`task/${segment(id)}`, {}, abort.signal).catch(() => null);
                        if (task && JSON.stringify(task) !== li.version && li.isConnected && !li.contains(document.activeElement))
                                li.replaceWith(list.makeRow(task, true));
                }
        };
        const look = async () => {
                const ids = [...touched].slice(0, ROWS_ASKED);
                touched = new Set();
                const n = await list.refresh();
                await again(ids);
                came += n || 0;
                if (came)
                        announce(count(came, "new task"));
                came = 0;
                timer = touched.size ? setTimeout(look, QUIET) : null;
        };
        const onEvents = (events, gap) => {
                for (const e of events)
                        if (e.task_id && touched.size < 1000)
                                touched.add(e.task_id);
                if ((gap || touched.size) && timer === null)
                        timer = setTimeout(look, 200);
        };
        const refused = text || query.get("test") ? "An export can't choose tasks by their words or keys: take these filters away." : "";
        const exports = fold("Export these tasks", () => exporter({ type: query.get("type"), status: query.get("status"),
                since: instant(query.get("since"), 0), until: instant(query.get("until"), 1), metadata: query.get("metadata") },
        refused, abort.signal));
        return { title: "Tasks", element: h("div", {}, form, exports, list.element), keep: true, list,
                start() {
                        end = subscribe(onEvents);
                        addTypes(form, abort.signal).catch(() => null); /* the list says what is wrong */
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
