/*
 * The page: which view is shown, the keys, and what is said about the connection. Views are named by the part
 * of the address behind #, so that back, forward and bookmarks do what they should. A list that one leaves for
 * one of its entries is kept as it was, and the entry has the focus again on return.
 */

import { always, setAlways } from "./attachment.js";
import { h, note } from "./dom.js";
import { Failure, follow, get, segment, state } from "./feed.js";
import { step } from "./list.js";
import { deliveries, delivery, queue, submission } from "./log.js";
import { quarantine } from "./quarantine.js";
import { rates } from "./rates.js";
import { review } from "./review.js";
import { task } from "./task.js";
import { tasks } from "./tasks.js";

const routes = [
        [/^#\/tasks$/, tasks, "#/tasks"],
        [/^#\/task\/([^/]+)$/, task, "#/tasks"],
        [/^#\/quarantine$/, quarantine, "#/quarantine"],
        [/^#\/deliveries$/, deliveries, "#/deliveries"],
        [/^#\/delivery\/([0-9]+)$/, delivery, "#/deliveries"],
        [/^#\/queue$/, queue, "#/queue"],
        [/^#\/submission\/([^/]+)$/, submission, "#/queue"],
        [/^#\/rates$/, rates, "#/rates"],
];
const SAYS = {
        ok: "",
        away: "scale-callbackd does not answer. This page goes on once it does.",
        gone: "scalectl view has ended, or can't be reached.",
        shut: "Not allowed: open the URL that scalectl view printed.",
};
const QUIET = 3000; /* ms between two announcements */

const main = document.getElementById("main"), search = document.getElementById("search");
const help = document.getElementById("help"), live = document.getElementById("live");
let shown = null, kept = null, first = true, moved = 0;

/* Said to who does not see it, and not in one breath with the last. */
let saying = null, toSay = "";
function announce(message) {
        toSay = message;
        saying ??= setTimeout(() => {
                saying = null;
                live.textContent = toSay;
        }, QUIET);
}

function find(hash) {
        const [path, rest] = hash.split(/\?(.*)/s);
        for (const [pattern, make, under] of routes) {
                const match = pattern.exec(path);
                if (match)
                        try {
                                return { make, under, request: { args: match.slice(1).map(decodeURIComponent),
                                        query: new URLSearchParams(rest || "") } };
                        } catch {
                                return null; /* a broken escape */
                        }
        }
        return null;
}

function leave() {
        if (!shown)
                return;
        shown.view.stop();
        if (shown.view.keep)
                kept = { ...shown, scroll: window.scrollY, focus: main.querySelector(".row:focus-within")?.dataset.key };
        shown = null;
}

function showNothing() {
        main.replaceChildren(h("h2", { tabindex: "-1" }, "There is no such view"), h("p", {}, h("a", { href: "#/tasks" }, "To the tasks")));
}

/* From one entry of the list that was left to the next. It is one step in the history, however many they are. */
function goOn(key, href, by) {
        kept.focus = key;
        moved = main.querySelector(".review :focus") ? by : 0;
        location.replace(href);
        route(); /* at once, or the next key would still go on from the one before */
}

/* A list gets a heading of its own; the others bring theirs. */
function place(view, within) {
        main.replaceChildren(...(view.keep || view.title === "Rates" ? [h("h2", { tabindex: "-1" }, view.title)] : []),
                ...(within ? [within.element] : []), view.element);
        document.title = view.title;
        if (within)
                announce(within.says);
        main.querySelector(`.review button[data-by="${moved}"]`)?.focus();
        moved = 0;
}

async function route() {
        const hash = location.hash || "#/tasks", found = find(hash);

        if ((location.hash && !location.hash.startsWith("#/")) || shown?.hash === hash)
                return;
        leave();
        const within = review(kept?.view.list, hash, goOn), under = within ? kept.under : found?.under;
        for (const a of document.querySelectorAll("header nav a"))
                if (a.getAttribute("href") === under)
                        a.setAttribute("aria-current", "page");
                else
                        a.removeAttribute("aria-current");
        if (!found)
                return showNothing();

        const back = kept?.hash === hash ? kept : null;
        const mine = shown = { hash, under, within, view: back ? back.view : found.make(found.request, announce) };
        place(mine.view, within);
        const started = mine.view.start();
        if (back)
                comeBack(back);
        else {
                window.scrollTo(0, 0);
                await started;
                if (shown === mine && !first && (document.activeElement === document.body || !main.contains(document.activeElement)))
                        main.querySelector("h2")?.focus({ preventScroll: true });
        }
        first = false;
}

function comeBack(back) {
        window.scrollTo(0, back.scroll);
        const row = [...main.querySelectorAll(".row")].find((r) => r.dataset.key === back.focus);
        row?.scrollIntoView({ block: "nearest" });
        (row?.querySelector("a") ?? main.querySelector("h2"))?.focus({ preventScroll: true });
}

/* What was typed: a delivery's number, metadata, a task, a submission, or else words that some task has. */
async function lookFor(what) {
        if (/^[0-9]{1,18}$/.test(what))
                return `#/delivery/${what}`;
        if (/^[^=]+=/.test(what))
                return `#/tasks?${new URLSearchParams({ metadata: what })}`;
        for (const [path, to] of what.includes(" ") ? [] : [["task", "task"], ["submission", "submission"]])
                try {
                        await get(`${path}/${segment(what)}`);
                        return `#/${to}/${segment(what)}`;
                } catch (error) {
                        if (!(error instanceof Failure) || error.status !== 404)
                                throw error;
                }
        return `#/tasks?${new URLSearchParams({ text: what })}`;
}

async function onFind(event) {
        event.preventDefault();
        const what = search.value.trim();
        if (!what)
                return;
        try {
                location.hash = await lookFor(what);
                search.value = "";
                search.blur();
        } catch (error) {
                main.querySelector(".find-note")?.remove();
                const says = note(error.message, "error");
                says.classList.add("find-note");
                main.prepend(says);
        }
}

function goBack() {
        if (!shown || shown.hash.split("?")[0] === shown.under)
                return;
        location.hash = kept && kept.under === shown.under ? kept.hash : shown.under;
}

const typing = (element) => element instanceof HTMLElement &&
        (element.isContentEditable || element.matches("input:not([type=checkbox]):not([type=range]), select, textarea"));

function onKey(event) {
        if (event.ctrlKey || event.altKey || event.metaKey || help.open)
                return;
        if (event.key === "Escape") {
                if (typing(document.activeElement))
                        document.activeElement.blur();
                else
                        goBack();
                return;
        }
        if (typing(event.target))
                return;
        const nav = [...document.querySelectorAll("header nav a")];
        const keys = { "/": () => search.focus(), j: () => step(main, 1), k: () => step(main, -1), n: () => shown?.within?.move(1),
                p: () => shown?.within?.move(-1), "?": () => help.showModal() };
        const act = Object.hasOwn(keys, event.key) ? keys[event.key]
                : /^[1-5]$/.test(event.key) ? () => (location.hash = nav[Number(event.key) - 1].getAttribute("href")) : null;
        if (act) {
                event.preventDefault();
                act();
        }
}

state.listeners.add((word, before) => {
        const p = document.getElementById("state");
        p.textContent = SAYS[word] ?? "";
        p.className = word;
        if (word === "ok" && before && before !== "ok")
                shown?.view.retry?.();
});

document.getElementById("find").addEventListener("submit", onFind);
document.getElementById("help-button").addEventListener("click", () => help.showModal());
document.getElementById("skip").addEventListener("click", (event) => {
        event.preventDefault();
        main.focus();
});
const attachments = document.getElementById("attachments");
attachments.checked = always();
attachments.addEventListener("change", () => {
        setAlways(attachments.checked);
        for (const button of attachments.checked ? main.querySelectorAll("button.load") : [])
                button.click();
});
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", route);
route();
follow();
