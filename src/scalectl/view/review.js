/*
 * One after the other: an entry that was opened from a list knows where in that list it is, and leads to the one
 * before and the one behind it, without a way back to the list in between. What the list has not loaded yet it
 * loads then. The list stays as it was when one left it, so nothing moves under the reader.
 */

import { h } from "./dom.js";

/* The entry that `hash` opens, within a list that was left; null when it is none of it. */
export function review(list, hash, go) {
        const keys = list?.keys() ?? [], at = keys.findIndex((key) => list.o.href(key) === hash);
        if (at < 0)
                return null;

        const more = list.next !== null;
        const total = list.count === null ? `${keys.length.toLocaleString()}${more ? " or more" : ""}` : list.count.toLocaleString();
        const says = `${(at + 1).toLocaleString()} of ${total}`;
        const move = async (by) => {
                if (at + by >= keys.length && more)
                        await list.extend();
                const key = list.keys()[at + by];
                if (key !== undefined)
                        go(key, list.o.href(key), by);
        };
        const button = (by, word, sign, can) => h("button", { type: "button", disabled: !can, "data-by": String(by), on: { click: () => move(by) } },
                by < 0 && h("span", { "aria-hidden": "true" }, `${sign} `), word, by > 0 && h("span", { "aria-hidden": "true" }, ` ${sign}`));
        const element = h("nav", { class: "review", "aria-label": `${list.o.label}: one after the other` },
                button(-1, "Previous", "\u2039", at > 0), h("span", { class: "position" }, says),
                button(1, "Next", "\u203a", at + 1 < keys.length || more));
        return { element, move, says };
}
