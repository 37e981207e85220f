/*
 * A file of the tasks that a list shows, in the formats of `scalectl export`, which makes it. What needs files of
 * the reader's, or makes many, is for the command line, and the command is given here.
 */

import { count, h, note } from "./dom.js";
import { getExport, getFormats } from "./feed.js";

const SUFFIXES = { jsonl: "jsonl", csv: "csv", srt: "srt", vtt: "vtt", ctm: "ctm", manifest: "jsonl" };
const WORDS = /^[\w@%+=:,./-]+$/;

const quoted = (word) => (WORDS.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function command(format, params) {
        const filters = Object.entries(params).filter(([, value]) => value).flatMap(([name, value]) => [`--${name}`, quoted(value)]);
        const sizes = ["yolo", "voc"].includes(format.name) ? ["--images", "FOLDER"] : [];
        return ["scalectl export --format", format.name, ...filters, ...sizes, "-o", format.folder ? "NEW-FOLDER" : "FILE"].join(" ");
}

function save(file, name) {
        const a = h("a", {});
        a.href = URL.createObjectURL(file);
        a.download = name;
        a.click();
        setTimeout(() => URL.revokeObjectURL(a.href), 60000);
}

function told(report) {
        const reasons = Object.entries(report.reasons || {}).map(([reason, n]) => `${Number(n).toLocaleString()} ${reason.replaceAll("_", " ")}`);
        return `${count(Number(report.exported), "task")} of ${Number(report.read).toLocaleString()} in the file` +
                (reasons.length ? `; left out: ${reasons.join(", ")}.` : ".");
}

/* `params` are the filters, as `scalectl export` calls them; `refused` says which of the list's it doesn't have. */
export function exporter(params, refused, signal) {
        const says = h("div", { role: "status" }), line = h("code", { class: "command" });
        const select = h("select", { name: "format", on: { change: () => choose() } });
        const button = h("button", { type: "button", on: { click: () => run() } }, "Save the file");
        let formats = [];

        const chosen = () => formats.find((f) => f.name === select.value);
        const choose = () => {
                const format = chosen();
                button.hidden = !format || format.folder;
                line.textContent = format ? command(format, params) : "";
                says.replaceChildren();
        };
        const run = async () => {
                const { name } = chosen();
                button.disabled = true;
                says.replaceChildren(note("The file is being made."));
                try {
                        const { file, report } = await getExport({ format: name, ...params }, signal);
                        save(file, `tasks.${name}.${SUFFIXES[name] ?? "json"}`.replace(/\.(\w+)\.\1$/, ".$1"));
                        says.replaceChildren(note(told(report)));
                } catch (error) {
                        if (error.name !== "AbortError")
                                says.replaceChildren(note(error.message, "error"));
                } finally {
                        button.disabled = false;
                }
        };
        getFormats(signal).then((all) => {
                formats = all;
                select.replaceChildren(...all.map((f) => h("option", { value: f.name }, f.name)));
                choose();
        }, () => null); /* the list says what is wrong */
        if (refused)
                return h("div", { class: "export" }, note(refused));
        return h("div", { class: "export" }, h("p", { class: "tools" }, h("label", {}, "Format ", select), button),
                h("p", {}, "On the command line: ", line), says);
}
