/*
 * Lists: a page at a time by cursor, some hundred rows at most. Beyond, the first ones make room, so that the
 * hundred-thousandth row costs what the first does. While the newest rows are there, they are kept so.
 */

import { Failure, getPage } from "./feed.js";
import { count, h, note } from "./dom.js";

const PAGE = 50;
const ROWS_MAX = 300;
const LOOKED_MAX = 2000; /* entries that are looked at for a page of those that fit */
const LOOKED_STEP = 100;

/* `o`: {path, params, key(doc), href(key), row(doc) -> nodes, empty, one, label, fits(doc), before(doc)}. With `fits` the list has
 * those entries alone of which it is true: as many as there are among the next LOOKED_MAX, then it asks; behind one of
 * which `before` is true there are none. */
export class List {
        constructor(o) {
                this.o = o;
                this.ul = h("ul", { class: "rows", "aria-label": o.label });
                this.total = h("p", { class: "total" });
                this.more = h("button", { type: "button", class: "more", hidden: true,
                        on: { click: () => this.extend() } }, "More");
                this.top = h("p", { class: "note", hidden: true }, "The first rows made room for these. ",
                        h("button", { type: "button", on: { click: () => this.restart() } }, "Back to the newest"));
                this.message = h("div", {});
                this.element = h("div", { class: "list" }, this.total, this.top, this.ul, this.message, this.more);
                this.next = null;
                this.count = null;       /* of all that fit; null: nobody says */
                this.trimmed = false;
                this.before = [];        /* keys of rows that made room */
                this.loading = null;
                this.abort = new AbortController();
        }

        /* Of all that were loaded, in their order. */
        keys() {
                return [...this.before, ...[...this.ul.children].map((li) => li.dataset.key)];
        }

        stop() {
                this.abort.abort();
                this.abort = new AbortController();
        }

        page(after) {
                return this.o.fits ? this.search(after) : this.ask(PAGE, after);
        }

        ask(limit, after) {
                return getPage(this.o.path, { ...this.o.params, limit, after }, this.abort.signal);
        }

        async search(after) {
                const found = { docs: [], has_more: true, next: after };
                if (!after)
                        this.looked = 0;
                for (const end = this.looked + LOOKED_MAX; found.has_more && found.docs.length < PAGE && this.looked < end; ) {
                        const page = await this.ask(LOOKED_STEP, found.next);
                        this.looked += page.docs.length;
                        found.docs.push(...page.docs.filter(this.o.fits));
                        found.has_more = page.has_more && !(this.o.before && page.docs.some(this.o.before));
                        found.next = page.next;
                        this.total.textContent = `Looked through ${count(this.looked, this.o.one, this.o.many)}` +
                                (page.total === undefined ? "" : ` of ${page.total.toLocaleString()}`);
                }
                return found;
        }

        /* What is new among the newest. */
        async searchNewest() {
                const page = await this.ask(LOOKED_STEP).catch((error) => this.fail(error));
                const have = new Set(this.keys()), rows = (page?.docs ?? []).filter((doc) => this.o.fits(doc) && !have.has(String(this.o.key(doc))));
                this.ul.prepend(...rows.map((doc) => this.makeRow(doc, true)));
                return rows.length;
        }

        makeRow(doc, isNew) {
                const li = h("li", { class: isNew ? "row new" : "row", "data-key": String(this.o.key(doc)) }, this.o.row(doc));
                li.version = JSON.stringify(doc);
                return li;
        }

        finish(page) {
                this.next = page.has_more ? page.next : null;
                this.more.hidden = this.next === null;
                this.more.textContent = this.o.fits ? "Look further" : "More";
                this.count = page.total ?? null;
                if (this.count !== null)
                        this.total.textContent = count(this.count, this.o.one, this.o.many);
        }

        /* Says what went wrong, and gives it another try once the daemon is back. */
        fail(error) {
                if (error.name === "AbortError")
                        return;
                if (!(error instanceof Failure))
                        console.error(error);
                this.failed = true;
                this.message.replaceChildren(note(error.message, "error"));
        }

        async restart() {
                try {
                        const page = await this.page();
                        this.failed = false;
                        this.trimmed = false;
                        this.before = [];
                        this.top.hidden = true;
                        this.ul.replaceChildren(...page.docs.map((doc) => this.makeRow(doc)));
                        this.message.replaceChildren(...(page.docs.length ? [] : [h("p", { class: "empty" },
                                page.has_more ? "Nothing so far." : this.o.empty)]));
                        this.finish(page);
                } catch (error) {
                        this.fail(error);
                }
        }

        async extend() {
                if (this.next === null || this.busy)
                        return;
                this.busy = true;
                this.more.disabled = true;
                try {
                        const page = await this.page(this.next);
                        const rows = page.docs.map((doc) => this.makeRow(doc));
                        this.ul.append(...rows);
                        if (rows.length)
                                this.message.replaceChildren();
                        for (; this.ul.childElementCount > ROWS_MAX; this.trimmed = true) {
                                this.before.push(this.ul.firstElementChild.dataset.key);
                                this.ul.firstElementChild.remove();
                        }
                        this.top.hidden = !this.trimmed;
                        this.finish(page);
                        rows[0]?.querySelector("a")?.focus({ preventScroll: true });
                } catch (error) {
                        this.fail(error);
                } finally {
                        this.busy = false;
                        this.more.disabled = false;
                }
        }

        /* Brings the newest rows up to date; those that are as they were stay the same elements, and so keep
         * the focus. Gives how many are new. One at a time; what is asked for meanwhile is done once more. */
        refresh() {
                if (this.loading) {
                        this.again = true;
                        return this.loading;
                }
                this.loading = this.merge().finally(() => {
                        this.loading = null;
                        if (this.again) {
                                this.again = false;
                                this.refresh();
                        }
                });
                return this.loading;
        }

        async merge() {
                if (this.trimmed)
                        return 0;
                if (this.failed || !this.ul.childElementCount) {
                        await this.restart();
                        return this.ul.childElementCount;
                }
                if (this.o.fits)
                        return this.searchNewest();
                let page;
                try {
                        page = await this.page();
                } catch (error) {
                        this.fail(error);
                        return 0;
                }
                return this.place(page);
        }

        place(page) {
                const old = new Map([...this.ul.children].map((li) => [li.dataset.key, li]));
                const keys = page.docs.map((doc) => String(this.o.key(doc)));
                const last = [...this.ul.children].map((li) => keys.includes(li.dataset.key)).lastIndexOf(true);
                const behind = [...this.ul.children].slice(last + 1);
                let n = 0;

                const rows = page.docs.map((doc, i) => {
                        const li = old.get(keys[i]), version = JSON.stringify(doc);
                        if (!li) {
                                n++;
                                return this.makeRow(doc, true);
                        }
                        if (li.version !== version) {
                                const focused = li.contains(document.activeElement);
                                li.replaceChildren(...[this.o.row(doc)].flat());
                                li.version = version;
                                if (focused)
                                        li.querySelector("a")?.focus({ preventScroll: true });
                        }
                        return li;
                });
                /* Nothing in common, or no room: what is farther down comes again with More. */
                const keep = last >= 0 && page.has_more && rows.length + behind.length <= ROWS_MAX;
                this.arrange(keep ? [...rows, ...behind] : rows);
                this.finish(keep && behind.length ? { ...page, next: this.next, has_more: this.next !== null } : page);
                this.message.replaceChildren();
                return n;
        }

        /* Puts the rows into this order, moving as few as possible. */
        arrange(rows) {
                const wanted = new Set(rows);
                for (const li of [...this.ul.children])
                        if (!wanted.has(li))
                                li.remove();
                let at = this.ul.firstElementChild;
                for (const li of rows)
                        if (li === at)
                                at = at.nextElementSibling;
                        else
                                this.ul.insertBefore(li, at);
        }
}

/* Next or previous of the rows that are shown. */
export function step(root, by) {
        const links = [...root.querySelectorAll(".row a.open")];
        if (!links.length)
                return;
        const at = links.findIndex((a) => a.closest(".row").contains(document.activeElement));
        const to = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
        links[to].focus();
        links[to].closest(".row").scrollIntoView({ block: "nearest" });
        if (to === links.length - 1 && by > 0)
                root.querySelector(".more:not([hidden])")?.scrollIntoView({ block: "nearest" });
}
