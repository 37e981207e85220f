/*
 * Asking, and being told. Every call says how things stand: the daemon answers, or it doesn't (503), or this
 * page's own server has gone, or the page is not let in any more. The feed asks for what comes after the last
 * event it has seen, with an answer that takes its time; after whatever went wrong it asks again for the
 * same, so nothing is missed and nothing comes twice. It rests while nobody sees the page, and goes on from
 * there; what is too much to catch up with is told as a gap, and views start afresh.
 */

const WAIT = 10;         /* seconds that an answer may take */
const BATCH = 200;
const CATCH_UP = 2000;   /* events; beyond, it is a gap */
const PAUSE_MIN = 500, PAUSE_MAX = 8000;

export class Failure extends Error {
        constructor(status, message, problems) {
                super(message);
                this.status = status;     /* 0: no answer */
                this.problems = problems || [];
        }
}

export const state = { word: "", listeners: new Set() };

function setState(word) {
        if (state.word === word)
                return;
        const before = state.word;
        state.word = word;
        for (const listener of state.listeners)
                listener(word, before);
}

function query(params) {
        const q = new URLSearchParams();
        for (const [name, value] of Object.entries(params || {}))
                if (value !== "" && value !== null && value !== undefined)
                        q.set(name, value);
        return q.size ? `?${q}` : "";
}

function ask(path, params, signal) {
        return call(`api/v1/${path}${query(params)}`, { signal });
}

async function call(url, options) {
        let answer;
        try {
                answer = await fetch(url, { ...options, credentials: "same-origin", cache: "no-store", redirect: "error" });
        } catch (error) {
                if (error.name !== "AbortError")
                        setState("gone");
                throw error.name === "AbortError" ? error :
                        new Failure(0, "scalectl view has ended, or can't be reached.");
        }
        if (answer.ok) {
                setState("ok");
                return answer;
        }
        let error = null;
        try {
                error = await answer.json();
        } catch { /* not ours, so there is nothing to say but the status */ }
        setState(answer.status === 503 ? "away" : answer.status === 403 ? "shut" : "ok");
        throw new Failure(answer.status, String(error?.error ?? `The answer was the status ${answer.status}.`),
                error?.problems);
}

export async function getText(path, params, signal) {
        return (await ask(path, params, signal)).text();
}

export async function getBytes(path, params, signal) {
        return new Uint8Array(await (await ask(path, params, signal)).arrayBuffer());
}

export async function get(path, params, signal) {
        return (await ask(path, params, signal)).json();
}

/* What a text means as Markdown, see markdown.h. */
export async function readMarkdown(body, signal) {
        return (await call("api/markdown", { method: "POST", body, signal })).json();
}

export async function getFormats(signal) {
        return (await call("api/formats", { signal })).json();
}

/* A file, and what was said about it. */
export async function getExport(params, signal) {
        const answer = await call(`api/export${query(params)}`, { signal });
        return { file: await answer.blob(), report: JSON.parse(answer.headers.get("Export-Report") || "{}") };
}

/* A page of a list; one that is too large at once is asked for in smaller pieces. */
export async function getPage(path, params, signal) {
        for (let limit = params.limit; ; limit = Math.max(1, Math.floor(limit / 4)))
                try {
                        return await get(path, { ...params, limit }, signal);
                } catch (error) {
                        if (error.status !== 502 || limit <= 1)
                                throw error;
                }
}

export function lines(text) {
        return text.split("\n").filter((line) => line).map((line) => JSON.parse(line));
}

export const segment = encodeURIComponent;

const subscribers = new Set();

/* fn(events, gap). Returns what ends it. */
export function subscribe(fn) {
        subscribers.add(fn);
        return () => subscribers.delete(fn);
}

function tell(events, gap) {
        for (const fn of [...subscribers])
                try {
                        fn(events, gap);
                } catch (error) {
                        console.error(error); /* one view's trouble is not the others' */
                }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function visible() {
        if (!document.hidden)
                return Promise.resolve();
        return new Promise((done) => document.addEventListener("visibilitychange", function seen() {
                if (!document.hidden) {
                        document.removeEventListener("visibilitychange", seen);
                        done();
                }
        }));
}

/* Ends a call when nobody sees the page any more. */
function untilHidden() {
        const abort = new AbortController();
        const hidden = () => document.hidden && abort.abort();
        document.addEventListener("visibilitychange", hidden);
        return { signal: abort.signal, end: () => document.removeEventListener("visibilitychange", hidden) };
}

export async function follow() {
        let after = -1, check = true, pause = PAUSE_MIN;

        for (;;) {
                await visible();
                const watch = untilHidden();
                try {
                        if (check) {
                                const last = Number((await get("stats", {}, watch.signal)).last_event);
                                /* Before it: another database than the last time. */
                                if (after >= 0 && (last < after || last - after > CATCH_UP))
                                        tell([], true);
                                if (after < 0 || last < after || last - after > CATCH_UP)
                                        after = last;
                                check = false;
                        }
                        const events = lines(await getText("events", { after, wait: WAIT, limit: BATCH }, watch.signal));
                        if (events.length) {
                                after = Number(events[events.length - 1].seq);
                                tell(events, false);
                        }
                        pause = PAUSE_MIN;
                } catch (error) {
                        check = true;
                        if (error.name !== "AbortError") {
                                await sleep(pause);
                                pause = Math.min(pause * 2, PAUSE_MAX);
                        }
                } finally {
                        watch.end();
                }
        }
}
