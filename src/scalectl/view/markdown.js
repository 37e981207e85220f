/*
 * Instructions are Markdown. It is scalectl that reads them, with a library; what comes back is a tree of a dozen
 * kinds of things, and the elements for it are made here as all others are. Links lead to http and https alone,
 * and pictures are attachments like any other: none is loaded before the reader asks for it.
 */

import { image } from "./attachment.js";
import { brief, clean, h, text, webUrl } from "./dom.js";
import { readMarkdown } from "./feed.js";

const BYTES_MAX = 32768, KEPT = 50;
const kept = new Map(); /* by the text */

function link(url, children) {
        const to = webUrl(url);
        if (!to)
                return h("span", {}, children, h("span", { class: "none" }, ` (${brief(url, 200)})`));
        const a = h("a", { class: "outside", title: brief(to.href, 300) }, children);
        a.href = to.href;
        a.target = "_blank";
        a.rel = "noopener noreferrer";
        a.referrerPolicy = "no-referrer";
        return a;
}

function picture(url, children) {
        const holder = h("span", { class: "picture" });
        return h("span", { class: "attachment" }, holder, image(url, holder), h("span", { class: "where" }, children));
}

const makers = {
        p: (c) => h("div", { class: "para" }, c), quote: (c) => h("blockquote", {}, c), ul: (c) => h("ul", {}, c), li: (c) => h("li", {}, c),
        ol: ([start, ...c]) => Object.assign(h("ol", {}, c.map(build)), { start }),
        h: ([level, ...c]) => h(`h${Math.min(Number(level) + 2, 6)}`, {}, c.map(build)),
        em: (c) => h("em", {}, c), strong: (c) => h("strong", {}, c), code: (c) => h("code", {}, c), pre: (c) => h("pre", {}, c),
        hr: () => h("hr", {}), br: () => h("br", {}),
        a: ([url, ...c]) => link(url, c.map(build)), img: ([url, ...c]) => picture(url, c.map(build)),
};
const WITH_VALUE = ["ol", "h", "a", "img"];

/* It is bounded how deep the tree is. */
function build(node) {
        if (typeof node === "string")
                return clean(node);
        const [kind, ...rest] = node;
        return makers[kind](WITH_VALUE.includes(kind) ? rest : rest.map(build));
}

/* An element with the text, which becomes what it means. */
export function markdown(source, signal) {
        const element = h("div", { class: "markdown" }, text(source, 2000));
        const show = (tree) => element.replaceChildren(...tree.map(build));

        if (typeof source !== "string" || new TextEncoder().encode(source).length > BYTES_MAX)
                return element;
        if (kept.has(source))
                show(kept.get(source));
        else
                readMarkdown(source, signal).then((tree) => {
                        for (const oldest of kept.keys())
                                if (kept.size >= KEPT)
                                        kept.delete(oldest);
                        kept.set(source, tree);
                        show(tree);
                }, () => null); /* then it stays a text */
        return element;
}
