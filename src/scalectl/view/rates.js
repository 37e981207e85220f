/*
 * Rates over time: the newest events, counted by when they were, and the figures of the daemon. Events have no
 * index by time, so it is the newest ten thousand; where they don't reach back far enough, that is said.
 */

import { badge, brief, bytes, count, facts, h, note, section, stamp, svg } from "./dom.js";
import { get, getText, lines, subscribe } from "./feed.js";

const EVENTS_MAX = 10000;
const SPANS = [
        ["hour", "last hour", 60000, 60],
        ["day", "last day", 1800000, 48],
        ["week", "last week", 21600000, 28],
        ["month", "last 30 days", 86400000, 30],
];
const SERIES = [
        ["Results", ["task.completed", "task.revised"]],
        ["Submitted", ["task.submitted"]],
        ["Refused or failed", ["delivery.invalid", "attachment.failed", "submission.rejected", "submission.expired"]],
];
const QUIET = 2000;

/* As much of a time as tells the bars apart: "06-23", "06-23 09:00", "09:10". */
function label(t, step) {
        const d = new Date(t);
        return step >= 86400000 ? stamp(d, 5, 5) : step > 1800000 ? stamp(d, 5, 11) : stamp(d, 11, 5);
}

/* Bars of one series; the table below says the same in words. */
function chart(title, counts, start, step) {
        const W = 600, H = 120, top = Math.max(1, ...counts), w = W / counts.length;
        const total = counts.reduce((a, b) => a + b, 0);
        const bars = counts.map((n, i) => svg("rect", { class: "bar", x: i * w + w * 0.1, y: H - (n / top) * H, width: w * 0.8,
                height: (n / top) * H }, svg("title", {}, `${label(start + i * step, step)}: ${n}`)));
        const half = svg("line", { class: "grid", x1: 0, x2: W, y1: H / 2, y2: H / 2 });
        const base = svg("line", { class: "axis", x1: 0, x2: W, y1: H, y2: H });
        const marks = [0, Math.floor(counts.length / 2), counts.length - 1];
        const busy = counts.map((n, i) => [i, n]).filter(([, n]) => n > 0);
        return h("figure", { class: "chart" },
                h("figcaption", {}, h("strong", {}, title), ` ${total.toLocaleString()}`, h("span", { class: "top" }, `most at a time: ${Math.max(...counts).toLocaleString()}`)),
                svg("svg", { viewBox: `0 0 ${W} ${H + 1}`, preserveAspectRatio: "none", role: "img",
                        "aria-label": `${title}: ${total} in all, at most ${Math.max(...counts)} at a time` }, half, bars, base),
                h("div", { class: "ticks", "aria-hidden": "true" }, marks.map((i) => h("span", {}, label(start + i * step, step)))),
                busy.length > 0 && h("details", {}, h("summary", {}, `${title} as a table`), h("table", {},
                        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), h("th", { scope: "col", class: "number" }, "Number"))),
                        h("tbody", {}, busy.map(([i, n]) => h("tr", {}, h("td", {}, stamp(new Date(start + i * step))),
                                h("td", { class: "number" }, String(n))))))));
}

function charts(events, span) {
        const [, , step, n] = span;
        const end = Math.ceil(Date.now() / step) * step, start = end - n * step;
        const oldest = events.length ? events[0].at : start;
        const parts = SERIES.map(([title, kinds]) => {
                const counts = new Array(n).fill(0);
                for (const e of events)
                        if (e.at >= start && e.at < end && kinds.includes(e.kind))
                                counts[Math.floor((e.at - start) / step)]++;
                return chart(title, counts, start, step);
        });
        if (events.length >= EVENTS_MAX && oldest > start)
                parts.unshift(note(`Only the newest ${EVENTS_MAX.toLocaleString()} events are counted; they reach back to ${stamp(new Date(oldest))}.`));
        return parts;
}

function figures(stats) {
        const statuses = Object.keys(stats.by_status || {}), disk = stats.disk || {}, queue = stats.queue || {};
        const number = (n) => h("td", { class: "number" }, Number(n || 0).toLocaleString());
        return [section(count(Number(stats.tasks || 0), "task"), h("div", { class: "scroll" }, h("table", {},
                h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Type"), statuses.map((s) => h("th", { scope: "col", class: "number" }, brief(s, 20))))),
                h("tbody", {}, Object.entries(stats.by_type || {}).slice(0, 200).map(([type, by]) => h("tr", {},
                        h("th", { scope: "row" }, h("bdi", {}, brief(type, 60))), statuses.map((s) => number(by[s])))))))),
        section("Deliveries", h("p", { class: "counts" }, Object.entries(stats.by_verdict || {}).map(([v, n]) =>
                h("span", {}, badge(v), ` ${Number(n).toLocaleString()}`)))),
        section("The daemon", facts([["Database", bytes(disk.database_bytes)], ["Not copied back yet", bytes(disk.wal_bytes)],
                ["Free on its disk", bytes(disk.free_bytes)], ["Waiting for the disk", String(Number(queue.waiting || 0))],
                ["Can store", queue.writable === false ? "no" : "yes"]]))];
}

const stamped = (e) => ({ kind: e.kind, at: new Date(e.time).getTime() });

export function rates({ query }) {
        const span = SPANS.find((s) => s[0] === query.get("span")) || SPANS[1];
        const select = h("select", { name: "span", on: { change: () => {
                location.hash = `#/rates?span=${select.value}`;
        } } }, SPANS.map(([value, word]) => h("option", { value, selected: value === span[0] }, word)));
        const form = h("form", { class: "filters", "aria-label": "Time", on: { submit: (e) => e.preventDefault() } },
                h("label", {}, h("span", {}, "Time"), select));
        const drawn = h("div", { class: "charts" }), numbers = h("div", {});
        const abort = new AbortController();
        let events = [], end = null, timer = null, tick = null;

        const draw = () => drawn.replaceChildren(...charts(events, span));
        const count_ = async () => numbers.replaceChildren(...figures(await get("stats", {}, abort.signal)));
        const load = async () => {
                try {
                        const stats = await get("stats", {}, abort.signal);
                        const after = Math.max(0, Number(stats.last_event) - EVENTS_MAX);
                        events = lines(await getText("events", { after, limit: EVENTS_MAX }, abort.signal)).map(stamped);
                        numbers.replaceChildren(...figures(stats));
                        draw();
                } catch (error) {
                        if (error.name !== "AbortError")
                                drawn.replaceChildren(note(error.message, "error"));
                }
        };
        const onEvents = (more, gap) => {
                if (gap)
                        return void load();
                events = [...events, ...more.map(stamped)].slice(-EVENTS_MAX);
                timer ??= setTimeout(() => {
                        timer = null;
                        draw();
                        count_().catch(() => null); /* the state says what is wrong */
                }, QUIET);
        };
        return { title: "Rates", element: h("div", {}, form, drawn, numbers), start() {
                end = subscribe(onEvents);
                tick = setInterval(draw, 60000); /* time goes on when nothing comes */
                return load();
        }, retry: load, stop() {
                end?.();
                clearTimeout(timer);
                clearInterval(tick);
                abort.abort();
        } };
}
