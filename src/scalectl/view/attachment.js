/*
 * Attachments are on servers of others. Nothing is loaded from there before the reader asks for it, for one or
 * for all: loading tells that server who looks at what, and when. Then without a referrer, http and https
 * alone, and only pictures and sound. What was loaded once is loaded again by itself while the page is open.
 */

import { brief, h, note, webUrl } from "./dom.js";

const KEY = "attachments";
const asked = new Set();

export function always() {
        try {
                return localStorage.getItem(KEY) === "always";
        } catch {
                return false;
        }
}

export function setAlways(on) {
        try {
                localStorage.setItem(KEY, on ? "always" : "");
        } catch { /* then it is asked again the next time */ }
}

export function anyLoaded(root) {
        return root.querySelector("img.loaded, audio") !== null;
}

/* A button that says from where, or no button; then load(), which makes the element. */
function onAsking(url, what, load) {
        const box = h("div", { class: "asking" });
        const go = () => {
                asked.add(url.href);
                box.replaceChildren();
                load(box);
        };
        if (always() || asked.has(url.href))
                go();
        else
                box.append(h("button", { type: "button", class: "load", on: { click: go } }, `Load the ${what} from `,
                        h("bdi", {}, brief(url.host, 80))));
        return box;
}

/* `onLoad(img)` once it is there; `holder` is where it goes, the button and failures stand in the result. */
export function image(value, holder, onLoad) {
        const url = webUrl(value);
        if (!url)
                return note("The attachment is no address that a picture can be loaded from.");
        return onAsking(url, "picture", (box) => {
                const img = h("img", {});
                img.alt = "The attachment";
                img.referrerPolicy = "no-referrer";
                img.decoding = "async";
                img.addEventListener("load", () => {
                        img.classList.add("loaded");
                        onLoad?.(img);
                });
                img.addEventListener("error", () => {
                        img.remove();
                        asked.delete(url.href);
                        box.replaceChildren(note("The picture can't be loaded."));
                });
                img.src = url.href;
                holder.prepend(img);
        });
}

/* `onReady(audio)` once there is something that plays, without controls: those are player.js's. */
export function audio(value, onReady) {
        const url = webUrl(value);
        if (!url)
                return note("The attachment is no address that a recording can be loaded from.");
        return onAsking(url, "recording", (box) => {
                const player = document.createElement("audio");
                player.preload = "metadata";
                player.addEventListener("error", () => {
                        asked.delete(url.href);
                        box.replaceChildren(note("The recording can't be loaded."));
                        onReady?.(null);
                });
                player.src = url.href;
                box.append(player);
                onReady?.(player);
        });
}
